#!/usr/bin/env bash
# `make demo`: recordings -> dataset -> server -> open loop and closed loop, each in the environment that it belongs to.
# Everything goes to $RUNS/demo; the server is stopped again, also on Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
SERVER=${SERVER:-.venv-server} SIM=${SIM:-.venv-sim} OUT=${RUNS:-runs}/demo
rm -rf "$OUT" && mkdir -p "$OUT"

echo "1/4  converting the shipped recordings (50 Hz, 14 joints -> 20 Hz, 29 slots)"
"$SERVER/bin/handover" convert --source tests/data/aloha_sim_transfer_cube --output "$OUT/dataset" --codec h264

echo "2/4  starting the policy server with checkpoints/aloha-mini"
"$SERVER/bin/handover" serve --checkpoint checkpoints/aloha-mini --port 0 >"$OUT/server.log" 2>&1 &
server=$!
stop() { kill "$server" 2>/dev/null && wait "$server" || true; }
trap stop EXIT
trap 'exit 130' INT TERM
for _ in $(seq 600); do
  address=$(sed -n 's/^serving .* on \([^ ]*\)$/\1/p' "$OUT/server.log" | head -n1)
  [ -n "$address" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$OUT/server.log" >&2; exit 1; }
  sleep 0.1
done
[ -n "$address" ] || { echo "the server was not ready within 60 s, see $OUT/server.log" >&2; exit 1; }

echo "3/4  open loop, from the environment without torch"
echo "     (the recordings are of another scripted expert than the one that the checkpoint was trained on)"
"$SIM/bin/handover" info --server "$address"
"$SIM/bin/handover" replay --server "$address" --dataset-path "$OUT/dataset" --output "$OUT/open_loop"

echo "4/4  closed loop in MuJoCo, from the same environment"
"$SIM/bin/handover" rollout --server "$address" --task transfer_cube --episodes 2 --seed 10000 --execute-steps 4 --workers 1 --output "$OUT/closed_loop"
