"""Streams of the rerun.io viewer and what is logged to them; all that imports rerun-sdk.

    EPISODE/camera                    images
    EPISODE/joints/NAME/target        as predicted, or as played
    EPISODE/joints/NAME/demonstrated  of a replay
    EPISODE/joints/NAME/measured      of a rollout
    EPISODE/joints/NAME/state, action of a dataset
    EPISODE/reward                    of a rollout, 0 … 4
    EPISODE/joints/NAME/command       of a drive, what the guard let through; target, measured too
    EPISODE/guard, EPISODE/hold       of a drive, in words where they change: how often the guard
                                      intervened, and why the robot holds, or that it goes on
    EPISODE/latency_ms, late_ms       of a drive

Every value is on the timeline `time`, which starts at 0 s in each episode.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import FileError, MissingExtra, UsageError, atomic_path

TIMELINE = "time"
JPEG_QUALITY = 90


def check_rerun(path: Path) -> None:
    """Raise MissingExtra without the extra `viz`, UsageError for a file that cannot be written."""
    if importlib.util.find_spec("rerun") is None:
        raise MissingExtra("rerun-sdk", "viz")
    if path.suffix != ".rrd" or path.is_dir():
        raise UsageError(f"--rerun {path}: expected the name of a file that ends in .rrd")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not (
        folder.is_dir() and os.access(folder, os.W_OK)
    ):  # reported before the run, not after it
        raise UsageError(f"--rerun {path}: {folder} is no folder that can be written to")


@contextmanager
def open_recording(path: Path, title: str) -> Iterator[Any]:
    """Open a recording whose file is at `path` when all went well, and nothing otherwise."""
    rerun = sdk()
    try:
        with atomic_path(path) as partial, rerun.RecordingStream(title) as recording:
            recording.save(partial)
            yield recording
            recording.disconnect()  # what is still under way is written
    except RuntimeError as error:  # rerun raises it for a file that it cannot write
        raise FileError(f"cannot write {path}: {error}") from error


def log_curve(
    recording: Any, entity: str, times_s: np.ndarray, values: Sequence[float] | np.ndarray
) -> None:
    rerun = sdk()
    recording.send_columns(
        entity,
        indexes=[rerun.TimeColumn(TIMELINE, duration=times_s)],
        columns=rerun.Scalars.columns(scalars=np.asarray(values, np.float64)),
    )


def log_frames(
    recording: Any, entity: str, times_s: np.ndarray, frames: Iterable[np.ndarray]
) -> None:
    rerun = sdk()
    for time_s, frame in zip(times_s, frames, strict=True):
        recording.set_time(TIMELINE, duration=float(time_s))
        recording.log(entity, rerun.Image(frame).compress(jpeg_quality=JPEG_QUALITY))


def log_video(recording: Any, entity: str, mp4: bytes) -> None:
    """Keep a video as it is, and show each of its frames at its time."""
    rerun = sdk()
    video = rerun.AssetVideo(contents=mp4, media_type="video/mp4")
    recording.log(entity, video, static=True)
    times_ns = video.read_frame_timestamps_nanos()
    recording.send_columns(
        entity,
        indexes=[rerun.TimeColumn(TIMELINE, duration=1e-9 * times_ns)],
        columns=rerun.VideoFrameReference.columns_nanos(times_ns),
    )


def sdk() -> Any:
    return importlib.import_module("rerun")


def entity_of(name: str) -> str:
    """Turn a name from outside into one part of a path."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
