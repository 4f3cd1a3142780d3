"""The vision stage's command: train the backbone on snapshots.

python -m handover_training.aloha_mini.locate_objects --snapshots FOLDER --output FILE
"""

from dataclasses import dataclass
from pathlib import Path

from handover_common import exit_status


@dataclass(frozen=True)
class LocateConfig:
    """Train the small backbone to locate the objects."""

    snapshots: tuple[Path, ...]
    """Folders that handover_training.aloha_mini.data.draw wrote"""
    output: Path
    """File for the backbone's averaged weights (safetensors); the run's state lies beside it"""
    steps: int = 3500
    """How many, those of earlier runs into the same output counted"""
    save_steps: int = 250
    """Steps from one measurement and saved state to the next"""
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    seed: int = 0
    held_out: int = 12
    """Every so many-th episode is measured on instead"""


def main(config: LocateConfig) -> None:
    """Train; the same command goes on where a killed run was."""
    from handover_training.aloha_mini.stage import run_stage
    from handover_training.aloha_mini.vision_stage import VisionStage

    stage = VisionStage(config)
    run_stage(stage, config.steps, every=config.save_steps, what="vision stage", report=_say)
    stage.save()


def _say(line: str) -> None:
    print(line, flush=True)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(LocateConfig))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
