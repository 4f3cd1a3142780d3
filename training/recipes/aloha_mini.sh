#!/bin/sh
# (c) The checkpoint that ships, checkpoints/aloha-mini: from nothing to a policy on two CPU cores.
# Every command goes on where it was when it is run again. RESULTS.md says what each run gave.
#
# SIM and SERVER are the Pythons of the two environments that `make env` makes.
set -eu
work=${1:-./outputs/aloha-mini}
SIM=${SIM:-.venv-sim/bin/python} SERVER=${SERVER:-.venv-server/bin/python}
sim() { "$SIM" -m handover_client.cli "$@"; }
server() { "$SERVER" -m handover_client.cli "$@"; }
export OMP_NUM_THREADS=1

# Demonstrations, and snapshots of many more episodes (1 CPU second an episode).
sim record --task transfer_cube --episodes 24 --seed 5000 --render plain --output "$work/rec_transfer"
sim record --task insertion --episodes 24 --seed 6000 --render fast --output "$work/rec_insertion"
"$SIM" -m handover_envs.snapshots --output "$work/snap" --seed 30000 --episodes 842 \
    --on-the-way 40 --loose 12 --shadows 0.06
"$SIM" -m handover_envs.snapshots --output "$work/snap" --seed 41001 --seed-step 2 --episodes 500 \
    --on-the-way 40 --loose 12 --shadows 0.06
"$SIM" -m handover_envs.snapshots --output "$work/snap2" --seed 32000 --seed-step 2 --episodes 350 \
    --on-the-way 40 --loose 0 --shadows 0.06
for task in transfer insertion; do
    server convert --source "$work/rec_$task" --output "$work/groot_$task"
done
