"""Settings of the recipe's commands: `python -m handover_training.aloha_mini COMMAND …`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# ruff: noqa: UP045


@dataclass(frozen=True)
class SnapshotsConfig:
    """Draw snapshots of scripted episodes of both tasks, one .npz file per episode."""

    output: Path
    """Folder for the files; existing episodes are not drawn again."""
    episodes: int = 400
    """Number of episodes."""
    seed: int = 1000
    """Seed of the first episode. Even seeds are cube transfers, odd ones insertions."""
    seed_step: int = 1
    """Distance from one episode's seed to the next; 2 draws one task alone."""
    on_the_way: int = 16
    """Snapshots per episode along the expert's path."""
    loose: int = 14
    """Further snapshots per episode, with the objects put elsewhere."""
    shadows: float = 0.3
    """Share of the episodes that are drawn with shadows."""


@dataclass(frozen=True)
class VisionConfig:
    """Train the small backbone to locate the objects."""

    snapshots: tuple[Path, ...]
    """Folders written by `snapshots`."""
    output: Path
    """File for the backbone's averaged weights (safetensors); the run's state lies beside it."""
    start: Optional[Path] = None
    """Backbone to start from: such a file, or a small checkpoint."""
    steps: int = 3500
    """Total steps, including those of earlier runs with the same output."""
    save_steps: int = 250
    """Steps between measurements and saved states."""
    batch_size: int = 32
    """Samples per step."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW."""
    seed: int = 0
    """Seed of the initial weights and of every step's draws."""
    held_out: int = 12
    """Of this many consecutive episode seeds, the first two (one of each task) are held out."""


@dataclass(frozen=True)
class ReleaseConfig:
    """Copy what `handover finetune` made of the base, with a model card that has measurements."""

    trained: Path
    """Finished run, or one of its checkpoints."""
    output: Path
    """Checkpoint folder to write; an existing one is replaced."""
    rollouts: tuple[Path, ...] = ()
    """metrics.json files of `handover rollout` runs of this checkpoint."""


@dataclass(frozen=True)
class BaseConfig:
    """Write the base that ships: the vision stage's backbone and a new head."""

    backbone: Path
    """File written by `vision`."""
    snapshots: tuple[Path, ...]
    """Folders of snapshots that it was trained on, for the record."""
    output: Path
    """Checkpoint folder to write; an existing one is replaced."""
    seed: int = 0
    """Seed of the head's random weights."""


@dataclass(frozen=True)
class RandomConfig:
    """Make a small checkpoint with random weights from a GR00T dataset's statistics."""

    dataset_path: Path
    """GR00T dataset whose statistics and control rate the checkpoint takes."""
    output: Path
    """Checkpoint folder to make; it must not exist."""
    seed: int = 0
    """Seed of the random weights."""
