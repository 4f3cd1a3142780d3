"""The head stage's command: train the action head on the features of a frozen backbone.

python -m handover_training.train_head --snapshots FOLDER --backbone FILE --output FOLDER
"""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HeadConfig:
    """Train the small network's action head, and write checkpoints in the N1.6 layout."""

    snapshots: Path
    """Folder that handover_envs.snapshots wrote"""
    backbone: Path
    """File that handover_training.locate_objects wrote"""
    output: Path
    """Folder for the checkpoints, named after the minutes of training"""
    recordings: tuple[Path, ...] = ()
    """GR00T datasets to train on as well"""
    minutes: float = 20.0
    """How long, earlier runs into the same output counted"""
    save_minutes: float = 6.0
    """Minutes between checkpoints"""
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    state_noise_rad: float = 0.007
    """Spread of errors put on the arm joints that the network is told, in half of the samples"""
    seed: int = 0
    held_out: int = 12
    """Every so many-th episode is measured on instead"""


def main(config: HeadConfig) -> None:
    """Train."""
    from handover_training.head_stage import HeadStage
    from handover_training.locate_objects import schedule
    from handover_training.mini_checkpoint import write_mini
    from handover_training.timed_training import Clock

    stage = HeadStage(config)
    clock = Clock(config.minutes * 60, stage.elapsed_s)
    saved, measured = time.monotonic(), time.monotonic()
    while not clock.over:
        stage.step(schedule(clock.share))
        if time.monotonic() - measured > 60:
            measured = time.monotonic()
            print(f"{clock.elapsed_s / 60:.1f} min, {stage.describe()}", flush=True)
        if time.monotonic() - saved > config.save_minutes * 60:
            saved = time.monotonic()
            folder = config.output / f"minute-{round(clock.elapsed_s / 60)}"
            write_mini(folder, stage.averaged(), stage.processor)
            stage.save(clock.elapsed_s)
    stage.save(clock.elapsed_s)
    write_mini(config.output / "final", stage.averaged(), stage.processor)
    print(f"{clock.elapsed_s / 60:.1f} min, {stage.describe()}", flush=True)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(HeadConfig))


if __name__ == "__main__":
    cli()
