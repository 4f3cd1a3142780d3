"""Put the small checkpoint together for shipping: what it was trained on, and how it did.

python -m handover_training.aloha_mini.ship_mini --trained HEAD/final --output checkpoints/aloha-mini …
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from handover_common import exit_status

# typing.Optional: tyro checks such a default without importing typeguard
# ruff: noqa: UP045


@dataclass(frozen=True)
class ShipConfig:
    """Copy a trained small checkpoint, and write its record and its card."""

    trained: Path
    """Checkpoint folder that handover_training.aloha_mini.train_head wrote"""
    snapshots: tuple[Path, ...]
    """Folders of snapshots that it was trained on"""
    output: Path
    """Checkpoint folder to write; one that is there is replaced"""
    recordings: tuple[Path, ...] = ()
    """GR00T datasets that it was trained on"""
    rollouts: tuple[Path, ...] = ()
    """metrics.json of `handover rollout` runs of this checkpoint"""
    start: Optional[Path] = None
    """Checkpoint that the training began with (train_head --start): its record is kept too"""
    held_out: int = 12
    """As in training"""


def main(config: ShipConfig) -> None:
    """Write the checkpoint."""
    from handover_training.aloha_mini.release import release

    release(config)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(ShipConfig))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
