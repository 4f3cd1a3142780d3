"""Checks of the output's place and of free space, made before hours of work rather than after."""

import contextlib
import os
import shutil
from pathlib import Path

from handover_common import partial_folder

from handover_conversion.errors import DatasetError
from handover_conversion.pipeline.episode import Target
from handover_conversion.recordings import Recordings
from handover_conversion.resampling.grid import resampled_length
from handover_conversion.video.encode import Codec

# Bytes per pixel of a noisy camera's frames; the simulator's take a quarter (docs/conversion.md)
_BYTES_PER_PIXEL: dict[Codec, float] = {"mp4v": 0.12, "h264": 0.05}
_BYTES_PER_ROW_OVERHEAD = 64  # timestamps, indices, and the footers shared among an episode's rows


def check_place(root: Path, output: Path, overwrite: bool) -> None:
    """Refuse an output that overlaps the source, exists, or cannot be written.

    Raises DatasetError.
    """
    real = output.resolve()
    if real == root or root in real.parents or real in root.parents:
        raise DatasetError(f"{output} and the source {root} lie within each other (--output)")
    if os.path.ismount(output):
        raise DatasetError(
            f"a disk is mounted at {output}, which cannot be replaced: "
            "choose a folder in it (--output)"
        )
    if output.exists() or output.is_symlink():
        if not overwrite:
            raise DatasetError(f"{output} exists; choose another --output, or --overwrite it")
        if not output.is_dir():
            raise DatasetError(f"{output} is not a folder (--output)")
        if any(output.iterdir()) and not (output / "meta/info.json").is_file():
            raise DatasetError(f"{output} holds no dataset: it is not replaced (--output)")
    parent = _existing_parent(output)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise DatasetError(f"{parent} is not a writable folder (--output)")


def check_free(output: Path, recordings: Recordings, target: Target) -> None:
    """Compare the output's estimated size with the free space. Raises DatasetError."""
    needed = estimated_bytes(recordings, target)
    there = _bytes_in(partial_folder(output))
    free = shutil.disk_usage(_existing_parent(output)).free
    if free < needed - there:
        raise DatasetError(
            f"the output needs about {_gigabytes(needed - there)}, "
            f"{_existing_parent(output)} has {_gigabytes(free)} free (--output)"
        )


def estimated_bytes(recordings: Recordings, target: Target) -> int:
    """Estimate an upper bound of the output's size; until published, its rows are on disk twice."""
    rows = sum(
        resampled_length(episode.length, target.from_hz, target.to_hz)
        for episode in recordings.episodes
    )
    vectors = (target.robot.state.width + target.robot.action.width) * 4
    frame = sum(c.image_size**2 * _BYTES_PER_PIXEL[c.codec] for c in target.cameras)
    return round(rows * (frame + 2 * (vectors + _BYTES_PER_ROW_OVERHEAD)))


def _existing_parent(output: Path) -> Path:
    parent = output.parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _bytes_in(folder: Path) -> int:
    """Sum the sizes of a folder's files, which another run may be changing."""
    sizes: dict[int, int] = {}  # by inode: a video is linked from two places
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(os.path.join(place, name))
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
