"""`handover convert`: a LeRobot dataset becomes the GR00T dataset; `--check` validates one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import MissingExtra, UsageError

# typing.Optional: tyro checks such a default without importing typeguard, which would take a third
# of the time of --help
# ruff: noqa: UP045


@dataclass(frozen=True)
class ConvertConfig:
    """Turn a LeRobot dataset (2.0, 2.1, 3.0) into the dataset that GR00T N1.6 is finetuned on."""

    source: Optional[str] = None
    """Folder of the LeRobot dataset, or the name of a hub repository."""
    output: Optional[Path] = None
    """Folder to make. A run that was stopped goes on where it was."""
    check: Optional[Path] = None
    """Validate this finished GR00T dataset and convert nothing."""
    revision: Optional[str] = None
    """Branch, tag or commit of the hub repository."""
    video_key: str = "observation.images.top"
    """Camera of the source that the policy sees."""
    embodiment: str = "aloha"
    """Where joints go among the policy's slots: aloha, identity, or a JSON file."""
    fps: float = 20.0
    """Rows and frames per second of the output."""
    image_size: int = 256
    """Width and height of the output's frames, in pixels; even."""
    codec: Literal["mp4v", "h264"] = "mp4v"
    """mp4v is the original's; h264 is half as large and plays in a browser."""
    horizon: int = 16
    """Steps of the policy's action chunk, for the statistics of relative actions."""
    workers: Optional[int] = None
    """Processes to work with; one per core unless told."""
    cluster: Optional[str] = None
    """Work on a Ray cluster: auto, or ray://HOST:PORT."""
    overwrite: bool = False
    """Replace an existing dataset at the output, once the new one is finished; start over where an
    interrupted run had other choices."""
    skip_bad: bool = False
    """Leave out the episodes with faults, and list them, instead of making nothing."""


def main(config: ConvertConfig) -> None:
    """Convert, or check. Raises HandoverError."""
    try:
        from handover_conversion.groot import check
        from handover_conversion.pipeline import run as conversion
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "convert") from error
    if config.check is not None:
        if config.source is not None or config.output is not None:
            raise UsageError("--check takes no --source or --output: it only looks")
        print(check.check_or_raise(config.check))
        return
    if config.source is None or config.output is None:
        raise UsageError("expected --source and --output, or --check alone")
    if config.image_size < 16 or config.image_size % 2:
        raise UsageError(f"expected an even image size from 16 on, got {config.image_size}")
    if config.horizon < 1:
        raise UsageError(f"expected a horizon of at least 1 step, got {config.horizon}")
    print(conversion.convert(config.source, config.output, config).summary())


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(ConvertConfig))
