"""Configuration of `handover convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError

# ruff: noqa: UP045  # Optional: see handover_common/command.py


@dataclass(frozen=True)
class ConvertConfig:
    """Turn a LeRobot dataset (2.0, 2.1, 3.0) into a dataset that GR00T N1.6 is finetuned on."""

    source: Optional[str] = None
    """Folder of the LeRobot dataset, or the name of a Hub repository."""
    output: Optional[Path] = None
    """Folder to create. An interrupted run resumes where it stopped."""
    check: Optional[Path] = None
    """Validate this finished GR00T dataset and convert nothing."""
    revision: Optional[str] = None
    """Branch, tag or commit of the Hub repository."""
    video_key: str = "observation.images.top"
    """Camera of the source that the policy sees."""
    embodiment: str = "aloha"
    """Mapping from joints to the policy's slots: aloha, identity, or a JSON file."""
    fps: float = 20.0
    """Rows and frames per second of the output."""
    image_size: int = 256
    """Width and height of the output's frames, in pixels; even."""
    codec: Literal["mp4v", "h264"] = "mp4v"
    """mp4v is the original experiment's; h264 is half as large and plays in a browser."""
    horizon: int = 16
    """Steps of the policy's action chunk, for the statistics of relative actions."""
    workers: Optional[int] = None
    """Number of processes; by default one per core."""
    cluster: Optional[str] = None
    """Run on a Ray cluster: auto, or ray://HOST:PORT."""
    overwrite: bool = False
    """Replace an existing dataset at the output once the new one is finished, and start over if an
    interrupted run had other settings."""
    skip_bad: bool = False
    """Leave out the episodes with faults, and list them, instead of converting nothing."""


def check(config: ConvertConfig) -> None:
    """Refuse settings that make no sense. Raises UsageError."""
    if config.check is not None:
        if config.source is not None or config.output is not None:
            raise UsageError("--check takes no --source or --output: it converts nothing")
        return
    source_and_output(config)
    if config.image_size < 16 or config.image_size % 2:
        raise UsageError(f"expected an even image size from 16 on, got {config.image_size}")
    if config.horizon < 1:
        raise UsageError(f"expected a horizon of at least 1 step, got {config.horizon}")


def source_and_output(config: ConvertConfig) -> tuple[str, Path]:
    """Return what a conversion cannot do without. Raises UsageError."""
    if config.source is None or config.output is None:
        raise UsageError("expected --source and --output, or --check alone")
    return config.source, config.output
