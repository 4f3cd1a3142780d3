"""Configuration of `handover convert`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import UsageError, check_range

# ruff: noqa: UP045  # Optional: see handover_common/command.py


@dataclass(frozen=True)
class ConvertConfig:
    """Turn recordings (LeRobot 2.0, 2.1, 3.0, GR00T or ALOHA's HDF5) into a dataset that GR00T N1.6
    is finetuned on."""

    source: Optional[str] = None
    """Folder of the recordings, or the name of a Hub repository."""
    output: Optional[Path] = None
    """Folder to create. An interrupted run resumes where it stopped."""
    check: Optional[Path] = None
    """Validate this finished GR00T dataset and convert nothing."""
    revision: Optional[str] = None
    """Branch, tag or commit of the Hub repository."""
    camera: tuple[str, ...] = ()
    """Cameras as NAME=KEY, by the policy's and the recording's names, or all of them: all. With
    options of its own: NAME=KEY,image_size=224,codec=h264."""
    video_key: Optional[str] = None
    """The one camera that the policy sees, as ego_view; by default observation.images.top."""
    robot: Optional[str] = None
    """Description of the robot: aloha, aloha_mobile, so101, identity, or a JSON or YAML file; by
    default the recordings' own modality.json, or else aloha."""
    embodiment: Optional[str] = None
    """Former name of --robot."""
    state_column: Optional[str] = None
    """Recorded column of the state, where its name does not say so."""
    action_column: Optional[str] = None
    """Recorded column of the action, where its name does not say so."""
    episodes: tuple[str, ...] = ()
    """Convert these alone, for instance: 0 2 5-9."""
    successful: bool = False
    """Convert the episodes alone that the column success or next.success says went well."""
    task: Optional[str] = None
    """Instruction of every episode."""
    task_where_empty: bool = False
    """Use --task only where the recorded instruction is empty."""
    timestamps: Literal["nominal", "measured"] = "nominal"
    """measured resamples by the recorded times; nominal expects the dataset's constant rate."""
    source_fps: Optional[float] = None
    """Rate of HDF5 recordings, which do not state it; by default ALOHA's 50 Hz."""
    trim_frames: int = 2
    """An episode whose videos and rows differ by up to so many frames is cut to the shortest."""
    trim_idle: Optional[float] = None
    """Cut a still beginning or end down to so many seconds."""
    bgr: bool = False
    """The recorded images have red and blue swapped."""
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
    check_range(config, "trim_frames", least=0, most=100)
    check_range(config, "trim_idle", least=0, most=3600)
    check_range(config, "source_fps", least=1e-3, most=100_000)
    if config.camera and config.video_key is not None:
        raise UsageError("--camera and --video-key both choose cameras: expected one of them")
    if config.robot is not None and config.embodiment is not None:
        raise UsageError("--embodiment is the former name of --robot: expected one of them")
    if config.task is not None and not config.task.strip():
        raise UsageError("expected a text behind --task, got an empty one")
    if config.task_where_empty and config.task is None:
        raise UsageError("--task-where-empty says where --task is used: expected --task too")
    chosen_episodes(config)


def chosen_episodes(config: ConvertConfig) -> frozenset[int] | None:
    """Return the episodes that --episodes names; None: all. Raises UsageError."""
    if not config.episodes:
        return None
    chosen: set[int] = set()
    for span in config.episodes:
        if not re.fullmatch(r"[0-9]{1,9}(-[0-9]{1,9})?", span):
            raise UsageError(f"--episodes: expected numbers and spans such as 5-9, got {span!r}")
        first, _, last = span.partition("-")
        start, stop = int(first), int(last or first)
        if not start <= stop <= start + 10_000_000:
            raise UsageError(f"--episodes: {span} counts backwards, or too far")
        chosen.update(range(start, stop + 1))
    return frozenset(chosen)


def source_and_output(config: ConvertConfig) -> tuple[str, Path]:
    """Return what a conversion cannot do without. Raises UsageError."""
    if config.source is None or config.output is None:
        raise UsageError("expected --source and --output, or --check alone")
    return config.source, config.output
