"""Conversion of one episode: a pure function from its location to the result's rows and bytes.

It writes nothing, so it may run in any process, on any machine that can read the source, and again
after a worker was lost.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from handover_conversion.errors import Fault, FaultyEpisode
from handover_conversion.findings import EMPTY_INSTRUCTION
from handover_conversion.groot.writer import ConvertedEpisode
from handover_conversion.pipeline.cameras import CameraFormat
from handover_conversion.pipeline.words import Words
from handover_conversion.recordings import (
    EpisodeRows,
    OpenFrames,
    RecordedEpisode,
    RowFormat,
    RowsError,
)
from handover_conversion.resampling.grid import (
    Grid,
    TimeError,
    Timestamps,
    check_constant,
    gaps,
    grid_times,
    in_seconds,
    make_grid,
    make_measured_grid,
)
from handover_conversion.resampling.idle import moving_span
from handover_conversion.robot.description import Robot
from handover_conversion.video.decode import VideoError
from handover_conversion.video.encode import ENCODINGS, encode_video
from handover_conversion.video.resize import SquareResizer


@dataclass(frozen=True)
class Target:
    """Output format of every episode of a dataset."""

    robot: Robot
    cameras: tuple[CameraFormat, ...]
    words: Words
    row_format: RowFormat
    from_hz: Fraction
    to_hz: Fraction
    timestamps: Timestamps = "nominal"
    trim_frames: int = 2
    trim_idle_s: float | None = None


@dataclass(frozen=True)
class EpisodeTask:
    """One episode to convert."""

    root: Path
    episode: RecordedEpisode
    target: Target


@dataclass(frozen=True)
class _Steps:
    """The recorded steps that are converted, from `start` on, laid under the output's rows."""

    rows: EpisodeRows
    start: int
    stop: int
    grid: Grid

    def columns(self) -> dict[str, np.ndarray]:
        return {name: v[self.start : self.stop] for name, v in self.rows.columns.items()}


def convert_episode(task: EpisodeTask) -> ConvertedEpisode:
    """Read, resample, resize and encode one episode. Raises FaultyEpisode with all its faults."""
    notes: list[str] = []
    rows, opened = _open(task, notes)
    target, index = task.target, task.episode.index
    rows_name = task.episode.rows.path.relative_to(task.root).as_posix()
    try:
        steps = _lay_grid(rows, opened, target, notes)
        tasks = _task_indices(steps, target)
        columns = steps.columns()
        state = target.robot.state.resample(columns, steps.grid)
        action = target.robot.action.resample(columns, steps.grid)
    except ValueError as error:
        raise FaultyEpisode((Fault(rows_name, str(error), index),)) from None
    videos, faults = {}, []
    for camera in target.cameras:
        try:
            videos[camera.name] = _convert_video(opened[camera.key], steps, camera, target.to_hz)
        except VideoError as error:
            faults.append(_frames_fault(task, camera.key, error))
    if faults:
        raise FaultyEpisode(tuple(faults))
    return ConvertedEpisode(
        state=state,
        action=action,
        timestamp=grid_times(len(steps.grid), target.to_hz),
        task_index=tasks.pop("task_index"),
        videos=videos,
        annotations=tasks,
        notes=tuple(notes),
    )


def _open(task: EpisodeTask, notes: list[str]) -> tuple[EpisodeRows, dict[str, OpenFrames]]:
    """Read the rows and count every camera's frames. Raises FaultyEpisode."""
    episode, target, faults = task.episode, task.target, []
    rows, opened = None, {}
    try:
        rows = episode.rows.read(episode.index, target.row_format)
    except RowsError as error:
        name = episode.rows.path.relative_to(task.root).as_posix()
        faults += [Fault(name, problem, episode.index) for problem in error.problems]
    for key in dict.fromkeys(camera.key for camera in target.cameras):
        try:
            opened[key] = frames = episode.frames[key].open()
            if abs(frames.count - episode.length) > target.trim_frames:
                raise VideoError(
                    f"the video has {frames.count} frames, expected {episode.length}, one per row "
                    f"(--trim-frames allows {target.trim_frames} more or fewer)"
                )
            if frames.count != episode.length:
                notes.append(
                    f"{key} has {frames.count} frames for {episode.length} rows: cut to the fewer"
                )
        except VideoError as error:
            faults.append(_frames_fault(task, key, error))
    if faults or rows is None:
        raise FaultyEpisode(tuple(faults))
    return rows, opened


def _frames_fault(task: EpisodeTask, key: str, error: VideoError) -> Fault:
    name = task.episode.frames[key].path.relative_to(task.root).as_posix()
    return Fault(name, str(error), task.episode.index)


def _lay_grid(
    rows: EpisodeRows, opened: Mapping[str, OpenFrames], target: Target, notes: list[str]
) -> _Steps:
    """Choose the steps to convert, and lay the output's rows over them. Raises TimeError."""
    length = len(next(iter(rows.columns.values())))
    length = min([length, *(frames.count for frames in opened.values())])
    if length < 1:
        raise TimeError("no step has a frame of every camera")
    fps = float(target.from_hz)
    time_s = np.arange(length) / fps
    if rows.time is not None:
        recorded_s = in_seconds(rows.time, fps)[:length]
        if target.timestamps == "measured":
            time_s = recorded_s - recorded_s[0]
        else:
            check_constant(recorded_s, fps)
    start, stop = 0, length
    if target.trim_idle_s is not None:
        start, stop = _moving(rows, length, time_s, target)
        if stop - start < length:
            cut = time_s[start], time_s[-1] - time_s[stop - 1]
            notes.append(
                f"still for {cut[0]:.3g} s at its start and {cut[1]:.3g} s at its end: cut"
            )
    if target.timestamps == "nominal":
        grid = make_grid(stop - start, target.from_hz, target.to_hz)
    else:
        grid = make_measured_grid(time_s[start:stop], target.from_hz, target.to_hz)
        notes += gaps(time_s[start:stop], fps)
    return _Steps(rows, start, stop, grid)


def _moving(rows: EpisodeRows, length: int, time_s: np.ndarray, target: Target) -> tuple[int, int]:
    used = (*target.robot.state.pieces, *target.robot.action.pieces)
    values = [piece.converted(rows.columns)[:length].astype(np.float64) for piece in used]
    assert target.trim_idle_s is not None, "asked for"
    return moving_span(np.concatenate(values, axis=1), time_s, target.trim_idle_s)


def _task_indices(steps: _Steps, target: Target) -> dict[str, np.ndarray]:
    """Take the instruction and the other annotations to the grid: {column: (rows,) int64}.

    Raises ValueError where the instruction is empty.
    """
    words = target.words
    nearest = steps.start + steps.grid.nearest
    if words.column is None:
        task_index = np.full(len(nearest), words.only, np.int64)
    else:
        task_index = steps.rows.tasks[words.column][nearest]
    empty = sorted(set(task_index.tolist()) & words.empty)
    if empty:
        raise ValueError(f"task {empty[0]}: {EMPTY_INSTRUCTION}")
    annotated = words.annotation_columns.items()
    return {
        "task_index": task_index,
        **{name: steps.rows.tasks[column][nearest] for name, column in annotated},
    }


def _convert_video(
    frames: OpenFrames, steps: _Steps, camera: CameraFormat, to_hz: Fraction
) -> bytes:
    squares = _square_frames(frames, steps, camera)
    video, count = encode_video(squares, ENCODINGS[camera.codec], to_hz)
    assert count == len(steps.grid), "every wanted frame is read, or an error raised"
    return video


def _square_frames(
    frames: OpenFrames, steps: _Steps, camera: CameraFormat
) -> Iterator[av.VideoFrame]:
    """Yield each grid row's frame, as often as it is the nearest."""
    wanted, repeats = np.unique(steps.start + steps.grid.nearest, return_counts=True)
    resizer, shape = None, None
    for (_, frame), count in zip(frames.read(wanted), repeats, strict=True):
        if resizer is None or shape != (frame.width, frame.height, frame.format.name):
            shape = frame.width, frame.height, frame.format.name
            resizer = SquareResizer(frame, camera.image_size, "yuv420p", camera.swap_colors)
        square = resizer.resize(frame)
        for _ in range(count):
            yield square
