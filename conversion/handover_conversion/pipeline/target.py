"""Target of a conversion: what becomes of a source's columns, cameras, times and words."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from handover_common import UsageError

from handover_conversion.errors import DatasetError
from handover_conversion.pipeline.cameras import CameraFormat
from handover_conversion.pipeline.config import ConvertConfig
from handover_conversion.pipeline.episode import Target
from handover_conversion.pipeline.words import Words, find_words
from handover_conversion.recordings import Recordings, RowFormat, RowsError, SourceInfo
from handover_conversion.resampling.grid import exact_rate
from handover_conversion.robot.choose import says_nothing_of_time
from handover_conversion.robot.description import Robot
from handover_conversion.robot.look import dropped, settle
from handover_conversion.video.encode import can_encode

_TIME = "timestamp"
_TRIED = 5  # episodes that are looked at until one can be read


def make_target(
    recordings: Recordings, robot: Robot, cameras: Sequence[CameraFormat], config: ConvertConfig
) -> tuple[Target, list[str]]:
    """Settle the output's format, and what is to be told of it.

    Raises DatasetError, and UsageError for a flag.
    """
    source = recordings.source
    to_hz = _rate(config, cameras)
    words = find_words(recordings, config.task, config.task_where_empty)
    if config.timestamps == "measured" and _TIME not in source.features:
        raise DatasetError(
            f"{recordings.root} has no column {_TIME!r}: --timestamps measured needs the times"
        )
    row_format = _row_format(source, robot, words)
    columns = _sample(recordings, row_format)
    if columns is not None:
        name = config.robot or config.embodiment
        robot = settle(robot, columns, decide=says_nothing_of_time(name, source))
    left = dropped(robot, source.features, words.columns)
    notes = [*recordings.notes, *robot.notes]
    notes += [f"left out columns: {'; '.join(left)}"] if left else []
    target = Target(
        robot=replace(robot, notes=()),
        cameras=tuple(cameras),
        words=words,
        row_format=row_format,
        from_hz=exact_rate(source.fps),
        to_hz=to_hz,
        timestamps=config.timestamps,
        trim_frames=config.trim_frames,
        trim_idle_s=config.trim_idle,
    )
    return target, notes


def _row_format(source: SourceInfo, robot: Robot, words: Words) -> RowFormat:
    used = [column for side in (robot.state, robot.action) for column in side.used]
    return RowFormat(
        columns=source.columns,
        widths={column: source.features[column].width for column in used},
        task_columns=words.columns,
        tasks=frozenset(words.tasks),
        time_column=_TIME if _TIME in source.features else None,
    )


def _rate(config: ConvertConfig, cameras: Sequence[CameraFormat]) -> Fraction:
    """Return the output's rate. Raises UsageError where a camera's codec cannot express it."""
    try:
        to_hz = exact_rate(config.fps)
    except ValueError as error:
        raise UsageError(f"{error} (--fps)") from None
    for camera in cameras:
        size = camera.image_size
        if not can_encode(size, to_hz, camera.codec):
            raise UsageError(
                f"{camera.codec} cannot be written with {size} × {size} pixels at {to_hz} "
                "frames/s (--image-size, --fps, --codec)"
            )
    return to_hz


def _sample(recordings: Recordings, row_format: RowFormat) -> dict[str, np.ndarray] | None:
    """Read the rows of the first episode that can be read."""
    for episode in recordings.episodes[:_TRIED]:
        try:
            return dict(episode.rows.read(episode.index, row_format).columns)
        except RowsError:
            continue  # converting it will tell
    return None
