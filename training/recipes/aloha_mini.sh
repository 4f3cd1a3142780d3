#!/bin/sh
# (c) The checkpoint that ships, checkpoints/aloha-mini: from nothing to a policy on two CPU cores.
# Every command goes on where it was when it is run again. The first two run in the simulator's
# environment, the others in the server's. RESULTS.md says what each run gave.
set -eu
work=${1:-./outputs/aloha-mini}
export OMP_NUM_THREADS=1

# Demonstrations, and snapshots of many more episodes (about 2 CPU seconds an episode).
handover record --task transfer_cube --episodes 24 --seed 5000 --render fast --output "$work/rec_transfer"
python -m handover_envs.snapshots --output "$work/snap" --seed 1000 --episodes 67
python -m handover_envs.snapshots --output "$work/snap" --seed 3000 --episodes 39
python -m handover_envs.snapshots --output "$work/snap" --seed 2000 --episodes 88 \
    --on-the-way 32 --loose 10 --shadows 0.2
python -m handover_envs.snapshots --output "$work/snap" --seed 4001 --seed-step 2 --episodes 41 \
    --on-the-way 40 --loose 2 --shadows 0.15
handover convert --source "$work/rec_transfer" --output "$work/groot_transfer"

# The backbone learns to see, then is frozen; the action head learns from its features.
python -m handover_training.locate_objects --snapshots "$work/snap" \
    --output "$work/backbone.safetensors" --minutes 22.5
python -m handover_training.train_head --snapshots "$work/snap" --recordings "$work/groot_transfer" \
    --backbone "$work/backbone.safetensors" --output "$work/head" --minutes 35

# Measure on unseen seeds, and put it together. (What was measured: 50 transfers, 30 insertions.)
handover serve --checkpoint "$work/head/final" --port 50077 &
server=$!
trap 'kill $server' EXIT
for task in transfer_cube insertion; do
    handover rollout --server 127.0.0.1:50077 --task $task --seed 10000 --episodes 50 \
        --execute-steps 4 --workers 1 --videos none --output "$work/rollout_$task"
done
python -m handover_training.ship_mini --trained "$work/head/final" --snapshots "$work/snap" \
    --recordings "$work/groot_transfer" --output checkpoints/aloha-mini \
    --rollouts "$work/rollout_transfer_cube/metrics.json" "$work/rollout_insertion/metrics.json"
