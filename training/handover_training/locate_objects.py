"""The vision stage's command: train the backbone on snapshots.

python -m handover_training.locate_objects --snapshots FOLDER --output FOLDER --minutes 20
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocateConfig:
    """Train the small backbone to locate the objects; the folder may still be growing."""

    snapshots: Path
    """Folder that handover_envs.snapshots wrote"""
    output: Path
    """File for the backbone's averaged weights (safetensors); the run's state lies beside it"""
    minutes: float = 20.0
    """How long, earlier runs into the same output counted"""
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    seed: int = 0
    held_out: int = 12
    """Every so many-th episode is measured on instead"""


def main(config: LocateConfig) -> None:
    """Train."""
    from handover_training.timed_training import Clock
    from handover_training.vision_stage import VisionStage

    stage = VisionStage(config)
    clock = Clock(config.minutes * 60, stage.elapsed_s)
    saved, measured = time.monotonic(), time.monotonic()
    while not clock.over:
        stage.step(schedule(clock.share))
        if time.monotonic() - measured > 150:
            measured = time.monotonic()
            print(f"{clock.elapsed_s / 60:.1f} min, {stage.describe()}", flush=True)
        if time.monotonic() - saved > 90:
            saved = time.monotonic()
            stage.save(clock.elapsed_s)
    stage.save(clock.elapsed_s)
    print(f"{clock.elapsed_s / 60:.1f} min, {stage.describe()}", flush=True)


def schedule(share: float) -> float:
    """Give the learning rate's share of its peak: a short rise, then half a cosine to 2 %."""
    rise = 0.03
    if share < rise:
        return max(share / rise, 0.01)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - rise) / (1 - rise))))


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(LocateConfig))


if __name__ == "__main__":
    cli()
