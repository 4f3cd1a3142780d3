#!/bin/sh
# The policy for both tasks that ships, from nothing but the simulator on two CPU cores: the base,
# demonstrations, finetuning, corrections of what it does wrong, and its success rate. After
# the base every command is one that users have. Run again, every command continues where it stopped.
#
#     training/recipes/aloha_mini.sh [FOLDER [CHECKPOINT]]
#
# BASE starts from a base that exists; MAKE_BASE=1 makes one. SIM and SERVER are the Pythons of the two
# environments made by `make env`. tests/e2e/test_recipe.py runs the whole script with tiny numbers.
set -eu
work=${1:-./outputs/aloha-mini}
checkpoint=${2:-checkpoints/aloha-mini}
SIM=${SIM:-.venv-sim/bin/python} SERVER=${SERVER:-.venv-server/bin/python}
PORT=${PORT:-50077} BASE=${BASE:-checkpoints/aloha-mini-base}
TRANSFERS=${TRANSFERS:-100} INSERTIONS=${INSERTIONS:-220} STEPS=${STEPS:-7000}
CORRECTED_TRANSFERS=${CORRECTED_TRANSFERS:-60} CORRECTED_INSERTIONS=${CORRECTED_INSERTIONS:-270}
MORE_STEPS=${MORE_STEPS:-8000}
AGAIN_TRANSFERS=${AGAIN_TRANSFERS:-60} AGAIN_INSERTIONS=${AGAIN_INSERTIONS:-150}
LAST_STEPS=${LAST_STEPS:-10000}
ROLLOUTS=${ROLLOUTS:-500} HELD_OUT=${HELD_OUT:-4}
SNAPSHOTS=${SNAPSHOTS:-1600} ON_THE_WAY=${ON_THE_WAY:-20} LOOSE=${LOOSE:-40}
VISION_STEPS=${VISION_STEPS:-4000} SAVE_STEPS=${SAVE_STEPS:-1000} BATCH=${BATCH:-64}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
handover() { "$SERVER" -m handover_client.cli "$@"; }
simulate() { "$SIM" -m handover_client.cli "$@"; }
serve() { # CHECKPOINT
    "$SERVER" -m handover_client.cli serve --checkpoint "$1" --port "$PORT" &
    server=$! # of the server itself, not of a shell around it
    trap 'kill $server' EXIT
}
stop_serving() {
    kill $server
    wait $server || true
    trap - EXIT
}

# The base: a backbone that learns to see the scenes, in images without actions.
if [ -n "${MAKE_BASE:-}" ]; then
    BASE=$work/base
    if [ ! -e "$BASE" ]; then
        "$SIM" -m handover_training.aloha_mini snapshots --output "$work/snapshots" --seed 200000 \
            --episodes "$SNAPSHOTS" --on-the-way "$ON_THE_WAY" --loose "$LOOSE" --shadows 0.1
        "$SERVER" -m handover_training.aloha_mini vision --snapshots "$work/snapshots" \
            --output "$work/backbone.safetensors" --steps "$VISION_STEPS"
        "$SERVER" -m handover_training.aloha_mini base --backbone "$work/backbone.safetensors" \
            --snapshots "$work/snapshots" --output "$BASE"
    fi
fi

# Demonstrations of both tasks, in which the robot is led astray, and a policy for both.
record() { # NAME TASK EPISODES FLAGS
    name=$1 task=$2 episodes=$3
    shift 3
    [ -e "$work/groot_$name" ] && return
    [ -e "$work/rec_$name" ] || simulate record --task "$task" --episodes "$episodes" --fps 20 \
        --image-size 256 --render plain --output "$work/rec_$name" "$@"
    handover convert --source "$work/rec_$name" --output "$work/groot_$name"
}
finetune() { # NAME BASE STEPS DATASET …
    name=$1 base=$2 steps=$3
    shift 3
    [ -e "$work/$name/model.safetensors" ] || handover finetune --base-model-path "$base" \
        --output-dir "$work/$name" --cache-dir "$work/cache" --max-steps "$steps" \
        --global-batch-size "$BATCH" --learning-rate 1.5e-3 --weight-decay 1e-4 --ema-decay 0.995 \
        --state-noise 0.007 --no-random-crop --max-delay-steps 8 --val-episodes "$HELD_OUT" \
        --save-steps "$SAVE_STEPS" --report-to none --device cpu --dataset-path "$@"
}
record transfer_cube transfer_cube "$TRANSFERS" --seed 5000 --disturb
record insertion insertion "$INSERTIONS" --seed 5000 --disturb
finetune first "$BASE" "$STEPS" "$work/groot_transfer_cube" "$work/groot_insertion" \
    --mix groot_transfer_cube=0.33 groot_insertion=0.67

# The policy drives, the expert takes over where it goes wrong, and what it does then is learnt; and
# the same again with what came of it. Of the two tasks insertion is the harder one.
correct() { # TASK ROUND EPISODES SEED
    record "$1_corrected_$2" "$1" "$3" --seed "$4" --server 127.0.0.1:"$PORT" --takeover
}
serve "$work/first"
correct insertion 1 "$CORRECTED_INSERTIONS" 50000
correct transfer_cube 1 "$CORRECTED_TRANSFERS" 50000
stop_serving
set -- "$work/groot_transfer_cube" "$work/groot_insertion" \
    "$work/groot_transfer_cube_corrected_1" "$work/groot_insertion_corrected_1"
finetune second "$work/first" "$MORE_STEPS" "$@" \
    --mix groot_transfer_cube=0.2 groot_insertion=0.3 \
    groot_transfer_cube_corrected_1=0.12 groot_insertion_corrected_1=0.38
serve "$work/second"
correct insertion 2 "$AGAIN_INSERTIONS" 70000
correct transfer_cube 2 "$AGAIN_TRANSFERS" 70000
stop_serving
set -- "$@" "$work/groot_transfer_cube_corrected_2" "$work/groot_insertion_corrected_2"
finetune last "$work/second" "$LAST_STEPS" "$@" \
    --mix groot_transfer_cube=0.17 groot_insertion=0.23 \
    groot_transfer_cube_corrected_1=0.1 groot_insertion_corrected_1=0.25 \
    groot_transfer_cube_corrected_2=0.08 groot_insertion_corrected_2=0.17

# Its success on unseen seeds, and the release.
serve "$work/last"
for task in transfer_cube insertion; do
    [ -e "$work/rollout_$task" ] || simulate rollout --server 127.0.0.1:"$PORT" --task "$task" \
        --seed 10000 --episodes "$ROLLOUTS" --execute-steps 8 --videos none \
        --output "$work/rollout_$task"
done
stop_serving
"$SERVER" -m handover_training.aloha_mini release --trained "$work/last" --output "$checkpoint" \
    --rollouts "$work/rollout_transfer_cube/metrics.json" "$work/rollout_insertion/metrics.json"
