"""Check of one episode: its rows, its instructions, the videos of all cameras."""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from handover_conversion.check.metadata import KIND
from handover_conversion.errors import DatasetError
from handover_conversion.findings import EMPTY_INSTRUCTION, Finding, fault, note
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.metadata import EpisodeEntry
from handover_conversion.groot.statistics import float_columns, group_columns
from handover_conversion.video.decode import FrameCountError, VideoError, VideoSpan, read_video

_COUNTED = ("frame_index", "episode_index", "index")


@dataclass(frozen=True)
class EpisodeRows:
    """The rows of an episode that can be trained on."""

    entry: EpisodeEntry
    columns: Mapping[str, np.ndarray]  # {column behind a group: (L, width)}
    tasks: tuple[str, ...]


def read_rows(
    dataset: GrootDataset, entry: EpisodeEntry, findings: list[Finding]
) -> EpisodeRows | None:
    """Read and check an episode's rows; None where they cannot be trained on."""
    before = len(findings)
    try:
        there = dataset.column_names(entry.index)
    except DatasetError as error:
        findings.append(fault(KIND, str(error), entry.index))
        return None
    columns = _columns(dataset, entry, there, findings)
    tasks = _instructions(dataset, entry, findings)
    if columns is None or any(one.severity == "fault" for one in findings[before:]):
        return None
    return EpisodeRows(entry, columns, tasks)


def _columns(
    dataset: GrootDataset, entry: EpisodeEntry, there: list[str], findings: list[Finding]
) -> dict[str, np.ndarray] | None:
    index, names = entry.index, group_columns(dataset)
    try:
        columns = dataset.read_columns(index, names)
    except DatasetError as error:
        findings.append(fault(KIND, str(error), index))
        return None
    lengths = {len(values) for values in columns.values()}
    if lengths and lengths != {entry.length}:
        name = dataset.layout.rows(index).name
        what = f"{name} has {max(lengths)} rows, expected {entry.length}"
        findings.append(fault(KIND, what, index))
        return None
    for kind, groups in (("state", dataset.state_columns), ("action", dataset.action_columns)):
        wrong = groups.problems(columns)
        findings += [fault(KIND, f"meta/modality.json: {kind}.{one}") for one in wrong]
    for name, values in columns.items():
        findings += _finite(name, values, index, fault)
        findings += _width(dataset, name, values)
    for name in float_columns(dataset):
        if name not in columns:
            findings += _other_column(dataset, entry, name, there)
    findings += _counts(dataset, entry, there)
    return columns


def _finite(name: str, values: np.ndarray, index: int, severity: type | object) -> list[Finding]:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if not len(bad):
        return []
    make = fault if severity is fault else note
    what = f"{name} is NaN or infinite in row {bad[0]}, {len(bad)} rows in total"
    return [make("numbers", what, index, int(bad[0]))]


def _width(dataset: GrootDataset, name: str, values: np.ndarray) -> list[Finding]:
    feature = dataset.info["features"].get(name)
    if feature is None:
        return [note(KIND, f"meta/info.json: features has no {name!r}")]
    stated = math.prod(feature.get("shape") or [1])
    if values.shape[1] == stated:
        return []
    return [note(KIND, f"{name} is {values.shape[1]} wide, expected {stated} by info.json")]


def _other_column(
    dataset: GrootDataset, entry: EpisodeEntry, name: str, there: list[str]
) -> list[Finding]:
    """Check a float column that is behind no group."""
    if name not in there:
        return [note(KIND, f"info.json lists the column {name!r}, which the rows do not have")]
    try:
        values = dataset.read_columns(entry.index, [name])[name]
    except DatasetError as error:
        return [note(KIND, str(error), entry.index)]
    found = _finite(name, values, entry.index, note) + _width(dataset, name, values)
    if name != "timestamp" or values.shape[1] != 1:
        return found
    expected = np.arange(len(values)) / dataset.fps
    if np.abs(values[:, 0] - values[0, 0] - expected).max() > 0.1 / dataset.fps:
        step = int(np.abs(values[:, 0] - values[0, 0] - expected).argmax())
        what = f"timestamp does not count in steps of 1/{dataset.fps:g} s"
        found.append(note("time", what, entry.index, step))
    return found


def _counts(dataset: GrootDataset, entry: EpisodeEntry, there: list[str]) -> list[Finding]:
    """Check the columns that count, as far as there are any: training does not read them."""
    found = []
    named = [name for name in _COUNTED if name in there]
    if "episode_index" not in named and dataset.layout.rows(entry.index).shared:
        named = []  # told already: the rows could not be found
    for name in named:
        try:
            values = dataset.read_columns(entry.index, [name])[name][:, 0]
        except (DatasetError, IndexError) as error:
            found.append(note(KIND, f"{name}: {error}", entry.index))
            continue
        first = (
            entry.index if name == "episode_index" else 0 if name == "frame_index" else values[0]
        )
        step = 0 if name == "episode_index" else 1
        if not np.array_equal(values, first + step * np.arange(len(values))):
            last = first + step * (len(values) - 1)
            found.append(note(KIND, f"{name} does not go from {first} to {last}", entry.index))
    return found


def _instructions(
    dataset: GrootDataset, entry: EpisodeEntry, findings: list[Finding]
) -> tuple[str, ...]:
    default = dataset.instructions.default_key()
    try:
        texts = dataset.instructions.read(entry)
    except DatasetError as error:
        findings.append(fault("instruction", str(error), entry.index))
        return ()
    for step, text in enumerate(texts):
        if not text.strip():
            findings.append(fault("instruction", EMPTY_INSTRUCTION, entry.index, step))
            break
    if entry.tasks and not set(texts) <= set(entry.tasks):
        what = f"the rows name {sorted(set(texts))}, the list of episodes {sorted(entry.tasks)}"
        findings.append(note("instruction", what, entry.index))
    for key in dataset.instructions.keys()[1:]:
        if key == default:
            continue
        try:
            others = dataset.instructions.read(entry, key)
        except DatasetError as error:
            findings.append(note("instruction", str(error).replace(f" {entry.index} ", " ")))
            continue
        empty = [step for step, text in enumerate(others) if not text.strip()]
        if empty:
            what = f"{key}: {EMPTY_INSTRUCTION}"
            findings.append(note("instruction", what, entry.index, empty[0]))
    return texts


def video_findings(dataset: GrootDataset, entry: EpisodeEntry) -> Iterator[Finding]:
    """Count the frames of every camera's video, and decode the last one."""
    for camera in dataset.cameras:
        try:
            yield from _camera_findings(dataset, entry, camera)
        except DatasetError as error:
            yield fault("video", f"{camera}: {error}", entry.index)


def _camera_findings(dataset: GrootDataset, entry: EpisodeEntry, camera: str) -> Iterator[Finding]:
    last = [entry.length - 1]
    if dataset.is_in_rows(camera):
        (frame,) = dataset.read_frames(entry.index, camera, last)
        size = frame.shape[:2]
    else:
        span = dataset.video_span(entry.index, camera)
        try:
            ((_, video_frame),) = read_video(span, np.array(last), count_all=False)
        except VideoError as error:
            yield fault("video", f"{camera}: {_counted(span, error)}", entry.index)
            return
        size = (video_frame.height, video_frame.width)
        yield from _count_findings(span, camera, entry)
    stated = dataset.frame_size(camera)
    if stated not in (None, size):
        what = f"{camera}: frames are (height, width) {size}, info.json has {stated}"
        yield note("video", what, entry.index)


def _counted(span: VideoSpan, error: VideoError) -> str:
    """Say how many frames there are where the last one cannot be read."""
    try:
        deque(read_video(span, np.array([], np.int64)), maxlen=0)
    except FrameCountError as count:
        return str(count)
    except VideoError:
        pass
    return str(error)


def _count_findings(span: VideoSpan, camera: str, entry: EpisodeEntry) -> Iterator[Finding]:
    try:
        deque(read_video(span, np.array([], np.int64)), maxlen=0)
    except FrameCountError as error:
        if error.found < error.expected:
            yield fault("video", f"{camera}: {error}", entry.index)
        else:
            yield note("video", f"{camera}: {error}: the last ones are not used", entry.index)
