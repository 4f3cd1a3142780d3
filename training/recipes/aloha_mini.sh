#!/bin/sh
# (c) The checkpoint that ships, checkpoints/aloha-mini: from nothing to a policy on two CPU cores.
# Every command goes on where it was when it is run again. What was run for the weights that ship,
# in which order and with what result, is in RESULTS.md.
#
# SIM and SERVER are the Pythons of the two environments that `make env` makes.
set -eu
work=${1:-./outputs/aloha-mini}
SIM=${SIM:-.venv-sim/bin/python} SERVER=${SERVER:-.venv-server/bin/python}
export OMP_NUM_THREADS=1

# Demonstrations, and snapshots of many more episodes (1 CPU second an episode).
for task in transfer_cube insertion; do
    "$SIM" -m handover_client.cli record --task $task --episodes 24 --seed 5000 --render fast \
        --output "$work/rec_$task"
    "$SERVER" -m handover_client.cli convert --source "$work/rec_$task" --output "$work/groot_$task"
done
"$SIM" -m handover_envs.snapshots --output "$work/snap" --seed 30000 --episodes 1600 \
    --on-the-way 40 --loose 12 --shadows 0.06

# The backbone learns to see, then is frozen.
"$SERVER" -m handover_training.locate_objects --snapshots "$work/snap" \
    --output "$work/backbone.safetensors" --steps 3400

# The action head learns from its features, then from its own mistakes as well.
head() { # STEPS FOLDER …
    steps=$1
    shift
    "$SERVER" -m handover_training.train_head --snapshots "$@" \
        --recordings "$work/groot_transfer_cube" "$work/groot_insertion" \
        --backbone "$work/backbone.safetensors" --output "$work/head" --steps "$steps"
}
serve() { # CHECKPOINT
    "$SERVER" -m handover_client.cli serve --checkpoint "$1" --port 50077 &
    server=$!
    trap 'kill $server' EXIT
}
head 8000 "$work/snap"
serve "$work/head/step-8000"
"$SIM" -m handover_client.corrections --server 127.0.0.1:50077 --output "$work/lessons" --episodes 300
kill $server
head 16000 "$work/snap" "$work/lessons"

# Measure on unseen seeds, and put it together.
serve "$work/head/final"
for task in transfer_cube insertion; do
    "$SIM" -m handover_client.cli rollout --server 127.0.0.1:50077 --task $task --seed 10000 \
        --episodes 200 --execute-steps 4 --videos none --output "$work/rollout_$task"
done
"$SERVER" -m handover_training.ship_mini --trained "$work/head/final" \
    --snapshots "$work/snap" "$work/lessons" \
    --recordings "$work/groot_transfer_cube" "$work/groot_insertion" --output checkpoints/aloha-mini \
    --rollouts "$work/rollout_transfer_cube/metrics.json" "$work/rollout_insertion/metrics.json"
