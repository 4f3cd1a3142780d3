#!/usr/bin/env bash
# `make demo`: recordings -> dataset -> server -> open loop, closed loop on both tasks, one report; each in
# the environment that it belongs to. Everything goes to $RUNS/demo; when it ends, also by Ctrl-C or
# SIGTERM or with its terminal, nothing of it runs any more, and an interrupted demo leaves no files.
set -euo pipefail
set -m # every step gets a process group, so that a signal can be passed on to all of it
cd "$(dirname "$0")/.."

SERVER=${SERVER:-.venv-server} SIM=${SIM:-.venv-sim} OUT=${RUNS:-runs}/demo
CHECKPOINT=${DEMO_CHECKPOINT:-checkpoints/aloha-mini}
RECORDINGS=${DEMO_RECORDINGS:-tests/data/held_out_transfer_cube} # LeRobot folder of held-out episodes
EPISODES=${DEMO_EPISODES:-10}                                     # of each task, closed loop
SEED=10000                                                        # of the first; not trained on

stop() { # GROUP: end a process group, by force if it takes longer than 15 s
  kill -TERM -- "-$1" 2>/dev/null || return 0
  for _ in $(seq 150); do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$1" 2>/dev/null || true
}

stop_all() { # the last step before the server that it asks
  for group in $(jobs -p | tac); do stop "$group"; done
}

interrupted() {
  trap '' INT TERM HUP PIPE
  set +e # the terminal may be gone, and what is said here with it
  echo "interrupted: stopping, removing $OUT" >&2
  exec 2>/dev/null # bash would tell of every job that it ended
  stop_all
  rm -rf "$OUT"
  exit 130
}
trap interrupted INT TERM HUP
trap stop_all EXIT

say() { printf '\n[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1"; }

run() { # in the background: a program in front would have the terminal, and its Ctrl-C, to itself
  "$@" &
  wait $!
}

rm -rf "$OUT" && mkdir -p "$OUT"

say "1/5  the recordings $RECORDINGS become a dataset: 50 Hz, 14 joints -> 20 Hz, 29 slots"
run "$SERVER/bin/handover" convert --source "$RECORDINGS" --output "$OUT/dataset" --codec h264

say "2/5  the policy server starts, with $CHECKPOINT, in the environment without MuJoCo"
: >"$OUT/server.log" # it is read below, perhaps before the server has come to write it
"$SERVER/bin/handover" serve --checkpoint "$CHECKPOINT" --port 0 >"$OUT/server.log" 2>&1 &
server=$!
address=""
for _ in $(seq 600); do
  address=$(sed -n 's/^serving .* on \([^ ]*\)$/\1/p' "$OUT/server.log" | head -n1)
  [ -z "$address" ] || break
  kill -0 "$server" 2>/dev/null || { cat "$OUT/server.log" >&2; exit 1; }
  run sleep 0.1
done
[ -n "$address" ] || { echo "the server was not ready within 60 s, see $OUT/server.log" >&2; exit 1; }
run "$SIM/bin/handover" info --server "$address"

say "3/5  open loop, in the environment without torch: the policy's actions beside the recorded ones"
[ "$(basename "$RECORDINGS")" != aloha_sim_transfer_cube ] ||
  echo "        (these recordings are of another scripted expert than the one that the policy learnt from)"
run "$SIM/bin/handover" replay --server "$address" --dataset-path "$OUT/dataset" --output "$OUT/open_loop"

say "4/5  closed loop in MuJoCo: the policy moves the robot, $EPISODES episodes of each task"
for task in transfer_cube insertion; do
  run "$SIM/bin/handover" rollout --server "$address" --task "$task" --episodes "$EPISODES" --seed "$SEED" \
    --videos all --output "$OUT/$task"
done

say "5/5  the report"
runs=("$OUT/open_loop" "$OUT/transfer_cube" "$OUT/insertion")
run "$SIM/bin/handover" report "${runs[@]}" --output "$OUT/report.html"
run "$SIM/bin/python" docs/headlines.py "${runs[@]}"
say "done; look at $OUT/report.html"
