"""The head stage's command: train the action head on the features of a frozen backbone.

python -m handover_training.aloha_mini.train_head --snapshots FOLDER --backbone FILE --output FOLDER

Or, with --start CHECKPOINT in place of --backbone, go on with a small checkpoint that is there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from handover_common import exit_status

# typing.Optional: tyro checks such a default without importing typeguard
# ruff: noqa: UP045


@dataclass(frozen=True)
class HeadConfig:
    """Train the small network's action head, and write checkpoints in the N1.6 layout."""

    snapshots: tuple[Path, ...]
    """Folders that handover_training.aloha_mini.data.draw wrote"""
    output: Path
    """Folder for the checkpoints, named after the steps of training; `final` is the last"""
    backbone: Optional[Path] = None
    """File that handover_training.aloha_mini.locate_objects wrote, for a head from nothing"""
    start: Optional[Path] = None
    """Or a small checkpoint to begin with: its backbone, its head and its normalisation, whose
    ranges become as wide as the data need"""
    recordings: tuple[Path, ...] = ()
    """GR00T datasets to train on as well"""
    steps: int = 8000
    """How many, those of earlier runs into the same output counted"""
    save_steps: int = 1000
    """Steps from one checkpoint and measurement to the next"""
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    state_noise_rad: float = 0.007
    """Spread of errors put on the arm joints that the network is told, in half of the samples"""
    seed: int = 0
    held_out: int = 12
    """Every so many-th episode is measured on instead"""


def main(config: HeadConfig) -> None:
    """Train; the same command goes on where a killed run was."""
    from handover_training.aloha_mini.checkpoint import write_mini
    from handover_training.aloha_mini.head_stage import HeadStage
    from handover_training.aloha_mini.stage import run_stage

    stage = HeadStage(config)

    def write(steps: int) -> None:
        write_mini(config.output / f"step-{steps}", stage.averaged(), stage.processor)

    run_stage(
        stage,
        config.steps,
        every=config.save_steps,
        what="head stage",
        report=lambda line: print(line, flush=True),
        at_save=write,
    )
    write_mini(config.output / "final", stage.averaged(), stage.processor)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(HeadConfig))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
