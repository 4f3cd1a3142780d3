#!/usr/bin/env bash
# The pictures of docs/images, all anew, of the shipped checkpoint: the demo's runs, one more to compare
# with, then docs/screenshots.py. It needs `make env` and Debian's package chromium, and takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

SERVER=${SERVER:-.venv-server} SIM=${SIM:-.venv-sim} OUT=${RUNS:-runs}/pictures
PICTURES=${PICTURES:-.venv-pictures} EPISODES=${EPISODES:-20} ADDRESS=127.0.0.1:${PORT:-50099}

[ -x "$PICTURES/bin/python" ] || python3 -m venv "$PICTURES"
"$PICTURES/bin/pip" install -q playwright pillow

RUNS=$OUT DEMO_EPISODES=$EPISODES docs/demo.sh

# insertion once more, with whole chunks played: the client waits for the server by itself
"$SERVER/bin/handover" serve --checkpoint checkpoints/aloha-mini --port "${ADDRESS##*:}" &
trap 'kill $!' EXIT
rm -rf "$OUT/whole_chunks"
"$SIM/bin/handover" rollout --server "$ADDRESS" --task insertion --episodes "$EPISODES" --seed 10000 \
  --execute-steps 16 --videos none --output "$OUT/whole_chunks"
"$SIM/bin/handover" compare "$OUT/whole_chunks" "$OUT/demo/insertion" --output "$OUT/compare.html"

"$PICTURES/bin/python" docs/screenshots.py --open-loop "$OUT/demo/open_loop" \
  --closed-loop "$OUT/demo/insertion" --compare "$OUT/compare.html"
