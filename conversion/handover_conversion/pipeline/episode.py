"""Conversion of one episode: a pure function from its location to the result's rows and bytes.

It writes nothing, so it may run in any process, on any machine that can read the source, and again
after a worker was lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from handover_conversion.errors import Fault, FaultyEpisode
from handover_conversion.groot.embodiment_map import EmbodimentMap
from handover_conversion.groot.writer import ConvertedEpisode
from handover_conversion.lerobot.dataset import EpisodeLocation
from handover_conversion.pipeline.resample import Grid, grid_times, interpolate, make_grid
from handover_conversion.pipeline.rows import EpisodeRows, RowFormat, RowsError, read_rows
from handover_conversion.video.decode import VideoError, VideoSpan, read_video
from handover_conversion.video.encode import ENCODINGS, Codec, encode_video
from handover_conversion.video.resize import SquareResizer


@dataclass(frozen=True)
class Target:
    """Output format of every episode of a dataset."""

    embodiment: EmbodimentMap
    row_format: RowFormat
    from_hz: Fraction
    to_hz: Fraction
    image_size: int
    codec: Codec


@dataclass(frozen=True)
class EpisodeTask:
    """One episode to convert."""

    root: Path
    episode: EpisodeLocation
    target: Target


def convert_episode(task: EpisodeTask) -> ConvertedEpisode:
    """Read, resample, resize and encode one episode. Raises FaultyEpisode with all its faults."""
    episode, target = task.episode, task.target
    grid = make_grid(episode.length, target.from_hz, target.to_hz)
    faults, rows, video = [], None, b""
    try:
        rows = read_rows(episode.rows, episode.index, target.row_format)
    except RowsError as error:
        name = episode.rows.path.relative_to(task.root).as_posix()
        faults += [Fault(name, problem, episode.index) for problem in error.problems]
    try:
        video = _convert_video(episode.video, grid, target)
    except VideoError as error:
        name = episode.video.path.relative_to(task.root).as_posix()
        faults.append(Fault(name, str(error), episode.index))
    if faults or rows is None:
        raise FaultyEpisode(tuple(faults))
    return _resample_rows(rows, grid, target, video)


def _resample_rows(rows: EpisodeRows, grid: Grid, target: Target, video: bytes) -> ConvertedEpisode:
    action = interpolate(rows.action, grid)
    whole = list(target.embodiment.nearest_columns)
    action[:, whole] = rows.action[grid.nearest][:, whole]
    return ConvertedEpisode(
        state=target.embodiment.widen(interpolate(rows.state, grid)),
        action=target.embodiment.widen(action),
        timestamp=grid_times(len(grid), target.to_hz),
        task_index=rows.task_index[grid.nearest],
        video=video,
    )


def _convert_video(span: VideoSpan, grid: Grid, target: Target) -> bytes:
    frames = _square_frames(span, grid, target.image_size)
    video, count = encode_video(frames, ENCODINGS[target.codec], target.to_hz)
    assert count == len(grid), "read_video yields every wanted frame or raises"
    return video


def _square_frames(span: VideoSpan, grid: Grid, size: int) -> Iterator[av.VideoFrame]:
    """Yield each grid row's frame, as often as it is the nearest."""
    wanted, repeats = np.unique(grid.nearest, return_counts=True)
    resizer = None
    for (_, frame), count in zip(read_video(span, wanted), repeats, strict=True):
        resizer = resizer or SquareResizer(frame, size, "yuv420p")
        square = resizer.resize(frame)
        for _ in range(count):
            yield square
