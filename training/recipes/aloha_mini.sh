#!/bin/sh
# (c) The checkpoint that ships, checkpoints/aloha-mini: from nothing to a policy on two CPU cores.
# Run again, every command continues where it stopped. RESULTS.md tells what was run for the weights
# that ship, in which order and with what result.
#
#     training/recipes/aloha_mini.sh [FOLDER [CHECKPOINT]]
#
# SIM and SERVER are the Pythons of the two environments made by `make env`. The numbers below can
# be set too; tests/e2e/test_recipe.py runs the whole script with tiny ones.
set -eu
work=${1:-./outputs/aloha-mini}
checkpoint=${2:-checkpoints/aloha-mini}
SIM=${SIM:-.venv-sim/bin/python} SERVER=${SERVER:-.venv-server/bin/python}
PORT=${PORT:-50077}
DEMONSTRATIONS=${DEMONSTRATIONS:-24} SNAPSHOTS=${SNAPSHOTS:-1600} ON_THE_WAY=${ON_THE_WAY:-40}
VISION_STEPS=${VISION_STEPS:-3400} HEAD_STEPS=${HEAD_STEPS:-8000} CORRECTIONS=${CORRECTIONS:-300}
LAST_STEPS=${LAST_STEPS:-16000} ROLLOUTS=${ROLLOUTS:-200}
export OMP_NUM_THREADS=1

# Demonstrations, and snapshots of many more episodes (1 CPU second an episode).
for task in transfer_cube insertion; do
    if [ ! -e "$work/groot_$task" ]; then
        "$SIM" -m handover_client.cli record --task $task --episodes "$DEMONSTRATIONS" \
            --seed 5000 --render fast --output "$work/rec_$task"
        "$SERVER" -m handover_client.cli convert --source "$work/rec_$task" \
            --output "$work/groot_$task"
    fi
done
"$SIM" -m handover_training.aloha_mini snapshots --output "$work/snap" --seed 30000 \
    --episodes "$SNAPSHOTS" --on-the-way "$ON_THE_WAY" --loose 12 --shadows 0.06

# Vision pre-training; the backbone is frozen afterwards.
"$SERVER" -m handover_training.aloha_mini vision --snapshots "$work/snap" \
    --output "$work/backbone.safetensors" --steps "$VISION_STEPS"

# The action head learns from its features, then from corrections of its own mistakes as well.
head() { # STEPS FOLDER …
    steps=$1
    shift
    "$SERVER" -m handover_training.aloha_mini head --snapshots "$@" \
        --recordings "$work/groot_transfer_cube" "$work/groot_insertion" \
        --backbone "$work/backbone.safetensors" --output "$work/head" --steps "$steps"
}
serve() { # CHECKPOINT
    "$SERVER" -m handover_client.cli serve --checkpoint "$1" --port "$PORT" &
    server=$!
    trap 'kill $server' EXIT
}
stop_serving() {
    kill $server
    wait $server || true
    trap - EXIT
}
head "$HEAD_STEPS" "$work/snap"
serve "$work/head/step-$HEAD_STEPS"
"$SIM" -m handover_training.aloha_mini corrections --server 127.0.0.1:"$PORT" \
    --output "$work/corrections" --episodes "$CORRECTIONS"
stop_serving
head "$LAST_STEPS" "$work/snap" "$work/corrections"

# Measure on unseen seeds, and release.
serve "$work/head/final"
for task in transfer_cube insertion; do
    [ -e "$work/rollout_$task" ] || "$SIM" -m handover_client.cli rollout \
        --server 127.0.0.1:"$PORT" --task $task --seed 10000 --episodes "$ROLLOUTS" \
        --execute-steps 4 --videos none --output "$work/rollout_$task"
done
stop_serving
"$SERVER" -m handover_training.aloha_mini release --trained "$work/head/final" \
    --snapshots "$work/snap" "$work/corrections" \
    --recordings "$work/groot_transfer_cube" "$work/groot_insertion" --output "$checkpoint" \
    --rollouts "$work/rollout_transfer_cube/metrics.json" "$work/rollout_insertion/metrics.json"
