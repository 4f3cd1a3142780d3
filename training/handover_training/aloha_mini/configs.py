"""Settings of the recipe's six commands: `python -m handover_training.aloha_mini COMMAND …`."""

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
    """Snapshots per episode along the expert's path, with the chunk that it would play there."""
    loose: int = 14
    """Further snapshots per episode, without chunks, with the objects put elsewhere."""
    shadows: float = 0.3
    """Share of the episodes that are drawn with shadows."""


@dataclass(frozen=True)
class CorrectionsConfig:
    """Let a served policy act in the simulator, and record the expert's chunk at each request."""

    server: str
    """Address of the policy server, HOST:PORT."""
    output: Path
    """Folder for the files; existing episodes are not played again."""
    episodes: int = 100
    """Number of episodes."""
    seed: int = 50000
    """Seed of the first episode. Even seeds are cube transfers, odd ones insertions."""
    seed_step: int = 1
    """Distance from one episode's seed to the next; 2 plays one task alone."""
    execute_steps: int = 4
    """Steps to play of each chunk before the next request."""


@dataclass(frozen=True)
class VisionConfig:
    """Train the small backbone to locate the objects."""

    snapshots: tuple[Path, ...]
    """Folders written by `snapshots`."""
    output: Path
    """File for the backbone's averaged weights (safetensors); the run's state lies beside it."""
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
class HeadConfig:
    """Train the small network's action head, and write checkpoints in the N1.6 layout."""

    snapshots: tuple[Path, ...]
    """Folders written by `snapshots` and `corrections`."""
    output: Path
    """Folder for the checkpoints, named after their steps; `final` is the last."""
    backbone: Optional[Path] = None
    """File written by `vision`, for a new head."""
    start: Optional[Path] = None
    """Small checkpoint to start from instead: its backbone, its head and its normalization, whose
    ranges are widened to hold the new data."""
    recordings: tuple[Path, ...] = ()
    """GR00T datasets to train on as well."""
    steps: int = 8000
    """Total steps, including those of earlier runs with the same output."""
    save_steps: int = 1000
    """Steps between checkpoints and measurements."""
    batch_size: int = 64
    """Samples per step."""
    learning_rate: float = 1.5e-3
    """Peak learning rate of AdamW."""
    state_noise_rad: float = 0.007
    """Standard deviation of the errors added to the arm joints of half of the samples."""
    seed: int = 0
    """Seed of a new head's weights and of every step's draws."""
    held_out: int = 12
    """Of this many consecutive episode seeds, the first two (one of each task) are held out."""


@dataclass(frozen=True)
class ReleaseConfig:
    """Copy a trained small checkpoint, and write its training record and its model card."""

    trained: Path
    """Checkpoint folder written by `head`."""
    snapshots: tuple[Path, ...]
    """Folders of snapshots that it was trained on."""
    output: Path
    """Checkpoint folder to write; an existing one is replaced."""
    recordings: tuple[Path, ...] = ()
    """GR00T datasets that it was trained on."""
    rollouts: tuple[Path, ...] = ()
    """metrics.json files of `handover rollout` runs of this checkpoint."""
    start: Optional[Path] = None
    """Checkpoint that the training started from (`head --start`); its record is kept too."""
    held_out: int = 12
    """The same number as in training."""


@dataclass(frozen=True)
class RandomConfig:
    """Make a small checkpoint with random weights from a GR00T dataset's statistics."""

    dataset_path: Path
    """GR00T dataset whose statistics and control rate the checkpoint takes."""
    output: Path
    """Checkpoint folder to make; it must not exist."""
    seed: int = 0
    """Seed of the random weights."""
