#!/usr/bin/env bash
# (b) One GPU of 24 GB or more: adapters beside the diffusion model's layers, activations computed
# twice, the global batch of 64 in eight parts.
set -euo pipefail
handover finetune \
  --embodiment-tag GR1 \
  --dataset-path "${DATASET:-./data/aloha_groot_format}" \
  --base-model-path "${BASE:-nvidia/GR00T-N1.6-3B}" \
  --output-dir "${OUTPUT:-outputs/lora}" \
  --lora-rank 32 --tune-top-llm-layers 0 --learning-rate 3e-4 \
  --gradient-checkpointing --gradient-accumulation-steps 8 \
  --color-jitter-params brightness 0.3 contrast 0.4 saturation 0.5 hue 0.08 \
  "$@"
