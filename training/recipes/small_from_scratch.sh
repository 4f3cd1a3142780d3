#!/usr/bin/env bash
# (c) The small network from random weights, every part trained, on a CPU: no checkpoint of anybody
# else is needed. Interrupt it and start it again as often as you like.
set -euo pipefail
DATASET=${DATASET:-./data/aloha_groot_format} OUTPUT=${OUTPUT:-outputs/small}
BASE=${BASE:-$OUTPUT-base}
[ -d "$BASE" ] || python -m handover_model.mini --dataset-path "$DATASET" --output "$BASE"
handover finetune \
  --embodiment-tag GR1 \
  --dataset-path "$DATASET" \
  --base-model-path "$BASE" \
  --output-dir "$OUTPUT" \
  --tune-visual --tune-llm --learning-rate 1e-3 --weight-decay 1e-4 \
  --global-batch-size 32 --max-steps 20000 --save-steps 500 \
  "$@"
