"""Release of the small checkpoint: a finished run's files, and a model card with measurements."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover_model.checkpoints import load_checkpoint, load_metadata, write_card
from handover_model.network import read_json

from handover_training.aloha_mini.configs import ReleaseConfig
from handover_training.aloha_mini.processing import IMAGE_EDGE
from handover_training.checkpoints.record import RECORD_FILE
from handover_training.errors import TrainingError

_NAMES = (
    *("config.json", "eagle_config.json", "processor_config.json", "embodiment_id.json"),
    *("statistics.json", "tokenizer.json", "handover.json", "model.safetensors", RECORD_FILE),
)


def release(config: ReleaseConfig) -> Path:
    """Write the checkpoint folder; it is there whole or not at all.

    Raises TrainingError for a rollout of another checkpoint.
    """
    rollouts = [read_json(path) for path in config.rollouts]
    _check_played(config.trained, dict(zip(config.rollouts, rollouts, strict=True)))
    fresh = config.output.with_name(f".{config.output.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in _NAMES:
        shutil.copy2(config.trained / name, fresh / name)
    write_card(fresh, _card(config.output.name, fresh, rollouts))
    shutil.rmtree(config.output, ignore_errors=True)
    fresh.rename(config.output)
    return config.output


def _check_played(trained: Path, rollouts: Mapping[Path, Mapping[str, Any]]) -> None:
    checkpoint = load_checkpoint(trained)
    expected = checkpoint.hash(checkpoint.processor())
    for path, metrics in rollouts.items():
        played = metrics["settings"]["checkpoint_hash"]
        if played != expected:
            raise TrainingError(
                f"{path} was played by checkpoint {played[:12]}, expected {expected[:12]} of "
                f"{trained}: play it again"
            )


def _card(name: str, folder: Path, rollouts: Sequence[Mapping[str, Any]]) -> str:
    network = load_checkpoint(folder).network
    weights = sum(weight.numel() for weight in network.parameters())
    episodes = sum(len(record.train_episodes) for record in load_metadata(folder).training)
    dit, vision = network.config.diffusion_model_cfg, network.eagle.vision_config
    return f"""---
license: apache-2.0
library_name: handover
pipeline_tag: robotics
---

# {name}

GR00T N1.6's architecture at a small size: `checkpoints/aloha-mini-base`, finetuned on a CPU with
`handover finetune`. None of its weights come from NVIDIA's checkpoint. It has seen the simulator
alone: do not run it on a robot.

- {weights:,} weights: a vision tower of {vision.num_hidden_layers} layers (width
  {vision.hidden_size}, {IMAGE_EDGE} x {IMAGE_EDGE} pixels), {network.config.select_layer} language
  layers, a diffusion transformer of {dit.num_layers} blocks (width {dit.width}), 4 denoising steps,
  chunks of 16 steps at 20 Hz; arms relative to the state, grippers absolute.
- Data: {episodes} recorded demonstrations (`handover record`); the command and all settings are in
  `training_record.json`.
- Recipe: `training/recipes/aloha_mini.sh`.

## Measured by `handover rollout`

On seeds that it was not trained on, default rendering, in lockstep, served on a CPU:

{_table(rollouts)}
"""


def _table(rollouts: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| task | episodes | steps played of a chunk | success | Wilson 95 % |",
        "|---|---|---|---|---|",
    ]
    for metrics in rollouts:
        (low, high), settings = metrics["wilson_95"], metrics["settings"]
        lines.append(
            f"| {settings['task']} | {metrics['episodes']} | {settings['execute_steps']} "
            f"| {metrics['success_rate']:.1%} | {low:.1%} … {high:.1%} |"
        )
    return "\n".join(lines)
