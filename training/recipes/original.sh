#!/usr/bin/env bash
# (a) The original finetuning: GR00T N1.6-3B on ALOHA TransferCube, four GPUs of 80 GB, bfloat16.
# Variables stand for what differs from place to place; further flags are passed on.
set -euo pipefail
torchrun --nproc_per_node="${GPUS:-4}" --standalone -m handover_training.finetune \
  --modality-config-path "${MODALITY:-training/recipes/gr1_modality_config.py}" \
  --embodiment-tag GR1 \
  --dataset-path "${DATASET:-./data/aloha_groot_format}" \
  --base-model-path "${BASE:-nvidia/GR00T-N1.6-3B}" \
  --output-dir "${OUTPUT:-outputs/original}" \
  --trained-slots all --val-episodes 0 \
  --color-jitter-params brightness 0.3 contrast 0.4 saturation 0.5 hue 0.08 \
  "$@"
