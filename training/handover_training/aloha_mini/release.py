"""Release of the small checkpoint: its training record, and its model card with measurements."""

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover_conversion.groot import GrootDataset
from handover_model.checkpoints import load_checkpoint, load_metadata, save_metadata, write_card
from handover_model.network import read_json
from handover_proto import TrainingRecord

from handover_training.aloha_mini.configs import ReleaseConfig
from handover_training.aloha_mini.data.snapshots import TASK_ORDER, snapshot_files
from handover_training.aloha_mini.processing import IMAGE_EDGE
from handover_training.checkpoints.folders import write_json
from handover_training.checkpoints.record import RECORD_FILE
from handover_training.data.episodes import DatasetSplit


def release(config: ReleaseConfig) -> None:
    """Write the checkpoint folder; it is there whole or not at all."""
    fresh = config.output.with_name(f".{config.output.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(config.trained, fresh)
    records = tuple(_record(path, config.held_out) for path in config.recordings)
    record = {
        "trained_on": [dataclasses.asdict(record) for record in records],
        "snapshots": _snapshots(config),
        "recipe": "training/recipes/aloha_mini.sh",
    }
    if config.start is not None:
        records = (*load_metadata(config.start).training, *records)
        record["began_with"] = read_json(config.start / RECORD_FILE)
    write_json(fresh / RECORD_FILE, record)
    save_metadata(dataclasses.replace(load_metadata(fresh), training=records), fresh)
    rollouts = [read_json(path) for path in config.rollouts]
    card = _card(config.output.name, fresh, records, _count_snapshots(record), rollouts)
    write_card(fresh, card)
    shutil.rmtree(config.output, ignore_errors=True)
    fresh.rename(config.output)


def _record(path: Path, held_out: int) -> TrainingRecord:
    """Divide a dataset's episodes as the head stage does."""
    dataset = GrootDataset.open(path)
    episodes = [entry.index for entry in dataset.episodes]
    held = tuple(one for one in episodes if one % held_out < 2)
    train = tuple(one for one in episodes if one not in held)
    return DatasetSplit(dataset, dataset.content_hash(), train, held).record()


def _snapshots(config: ReleaseConfig) -> dict[str, dict[str, list[int]]]:
    """Divide the snapshots' episodes as the head stage does."""
    seeds = sorted(int(path.stem) for path in snapshot_files(config.snapshots))
    return {
        task: {
            "train_seeds": _seeds(seeds, parity, config.held_out, held=False),
            "held_out_seeds": _seeds(seeds, parity, config.held_out, held=True),
        }
        for parity, task in enumerate(TASK_ORDER)
    }


def _seeds(seeds: Sequence[int], parity: int, held_out: int, *, held: bool) -> list[int]:
    return [one for one in seeds if one % 2 == parity and (one % held_out < 2) == held]


def _count_snapshots(record: Mapping[str, Any]) -> int:
    """Count a record's episodes, and those of the checkpoint that it started from."""
    here = sum(len(seeds) for task in record["snapshots"].values() for seeds in task.values())
    return here + (_count_snapshots(record["began_with"]) if "began_with" in record else 0)


def _card(
    name: str,
    folder: Path,
    records: Sequence[TrainingRecord],
    snapshots: int,
    rollouts: Sequence[Mapping[str, Any]],
) -> str:
    network = load_checkpoint(folder).network
    weights = sum(weight.numel() for weight in network.parameters())
    episodes = sum(len(record.train_episodes) for record in records)
    dit, vision = network.config.diffusion_model_cfg, network.eagle.vision_config
    return f"""---
license: apache-2.0
library_name: handover
pipeline_tag: robotics
---

# {name}

GR00T N1.6's architecture at a small size, trained from scratch on a CPU: one policy for gym-aloha's
TransferCube and Insertion, told apart by the task's text. None of its weights come from NVIDIA's
checkpoint. It has seen the simulator alone: do not run it on a robot.

- {weights:,} weights: a vision tower of {vision.num_hidden_layers} layers (width
  {vision.hidden_size}, {IMAGE_EDGE} x {IMAGE_EDGE} pixels), {network.config.select_layer} language
  layers, a diffusion transformer of {dit.num_layers} blocks (width {dit.width}), 4 denoising steps,
  chunks of 16 steps at 20 Hz; arms relative to the state, grippers absolute.
- Data: {episodes} recorded demonstrations (`handover record`) and snapshots of {snapshots} more
  scripted episodes (`python -m handover_training.aloha_mini snapshots`); their seeds are in
  `training_record.json`.
- Recipe: `training/recipes/aloha_mini.sh`; what was tried: `training/recipes/RESULTS.md`.

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
