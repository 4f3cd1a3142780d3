"""`handover record`: scripted demonstrations in MuJoCo, as a LeRobot v2.1 dataset at 50 Hz."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import MissingExtra, UsageError

from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.tasks import TaskName

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class RecordConfig:
    """Record scripted demonstrations of a task as a LeRobot dataset (v2.1, 50 Hz, 480×640)."""

    task: TaskName
    """What is demonstrated."""
    output: Path
    """Folder to make. A run that was stopped goes on where it was."""
    episodes: int = 50
    """How many; each ends in success."""
    seed: int = 0
    """The first episode's; the next ones have the next seeds, less those that do not succeed."""
    workers: Optional[int] = None
    """Processes to work with; one per core unless told."""
    cluster: Optional[str] = None
    """Work on a Ray cluster: auto, or ray://HOST:PORT."""
    codec: Literal["h264", "av1"] = "h264"
    """h264 is quickly made and read; av1 is a third smaller and takes six times as long to make."""
    render: LookName = "default"
    """fast draws coarser shadows and edges in a third of the time, plain no shadows in a sixth;
    evaluation is always default."""


def main(config: RecordConfig) -> None:
    """Record. Raises HandoverError."""
    if config.episodes < 1:
        raise UsageError(f"expected at least 1 episode, got {config.episodes} (--episodes)")
    if not 0 <= config.seed < 2**31:
        raise UsageError(f"expected a seed from 0 to 2**31 - 1, got {config.seed} (--seed)")
    try:
        from handover_envs.record import run as recording
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "mujoco", "sim") from error
    print(recording.record(config).summary())


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(RecordConfig))
