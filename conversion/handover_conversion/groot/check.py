"""Validation of any GR00T dataset, whatever tool made it: structure, counts, frames, statistics."""

from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np

from handover_conversion.errors import DatasetError, Fault, FaultyDataset, in_reading_order
from handover_conversion.features import frame_size
from handover_conversion.groot.check_statistics import statistics_faults
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.metadata import EpisodeEntry
from handover_conversion.groot.statistics import float_columns
from handover_conversion.video.decode import VideoError, VideoSpan, read_video

_COUNTED = ("frame_index", "episode_index", "index", "task_index")


def check_or_raise(path: Path) -> str:
    """Return a line about a dataset without faults. Raises DatasetError with all of them."""
    faults = check_dataset(path)
    if faults:
        raise FaultyDataset(f"{path}: {len(faults)} faults", faults)
    dataset = GrootDataset.open(path)
    rows = sum(entry.length for entry in dataset.episodes)
    cameras = ", ".join(dataset.cameras)
    return f"{path}: no faults; {len(dataset.episodes)} episodes, {rows} rows, cameras: {cameras}"


def check_dataset(path: Path) -> tuple[Fault, ...]:
    """Find all faults of the dataset at `path`; empty if there are none."""
    try:
        dataset = GrootDataset.open(path)
    except DatasetError as error:
        return (Fault("meta", str(error)),)
    faults = [*_feature_faults(dataset), *_path_faults(dataset)]
    if faults:  # the files cannot be found or read
        return in_reading_order([*faults, *_total_faults(dataset), *_episode_list_faults(dataset)])
    faults += [*_total_faults(dataset), *_missing_features(dataset), *_stray_files(dataset)]
    layout = [*_modality_faults(dataset), *_episode_list_faults(dataset)]
    starts = accumulate((entry.length for entry in dataset.episodes), initial=0)
    for entry, first_row in zip(dataset.episodes, starts, strict=False):
        if entry.length >= 1:
            layout += _rows_faults(dataset, entry, first_row)
            faults += _video_faults(dataset, entry)
    faults += statistics_faults(dataset, recompute=not layout)
    return in_reading_order([*faults, *layout])


def _path_faults(dataset: GrootDataset) -> Iterator[Fault]:
    """Check that info.json yields a name for every file."""
    try:
        dataset.files()
    except DatasetError as error:
        yield Fault("meta/info.json", str(error))


def _feature_faults(dataset: GrootDataset) -> Iterator[Fault]:
    name, features = "meta/info.json", dataset.info.get("features")
    if not isinstance(features, dict) or not features:
        yield Fault(name, "has no features")
        return
    for column, feature in features.items():
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
            yield Fault(name, f"features[{column!r}] has no shape")


def _total_faults(dataset: GrootDataset) -> Iterator[Fault]:
    name, info = "meta/info.json", dataset.info
    counted = {
        "total_episodes": len(dataset.episodes),
        "total_frames": sum(entry.length for entry in dataset.episodes),
        "total_tasks": len(dataset.tasks),
        "total_videos": len(dataset.episodes) * len(_recorded_cameras(dataset)),
    }
    for key, count in counted.items():
        if info.get(key) != count:
            yield Fault(name, f"{key} is {info.get(key)!r}, counted {count}")


def _recorded_cameras(dataset: GrootDataset) -> list[str]:
    """Return the features that are videos; modality.json may leave some out."""
    features = dataset.info.get("features")
    described = features.items() if isinstance(features, dict) else ()
    return [name for name, f in described if isinstance(f, dict) and f.get("dtype") == "video"]


def _missing_features(dataset: GrootDataset) -> Iterator[Fault]:
    for column in (*_needed(dataset), *_COUNTED):
        if column not in dataset.info["features"]:
            yield Fault("meta/info.json", f"features has no {column!r}")


def _needed(dataset: GrootDataset) -> tuple[str, ...]:
    return dataset.state_column, dataset.action_column, "timestamp"


def _modality_faults(dataset: GrootDataset) -> Iterator[Fault]:
    name, features = "meta/modality.json", dataset.info["features"]
    for kind, groups, column in (
        ("state", dataset.state_groups, dataset.state_column),
        ("action", dataset.action_groups, dataset.action_column),
    ):
        if column not in features:
            continue
        shape = features[column].get("shape") or [0]
        last = 0
        for group, part in sorted(groups.items(), key=lambda item: item[1].start):
            where = f"{kind}.{group} is {part.start}…{part.stop}"
            if not 0 <= part.start < part.stop <= shape[0]:
                yield Fault(name, f"{where}, expected a range within 0…{shape[0]}")
            elif part.start < last:
                yield Fault(name, f"{where}, which overlaps the group before it")
            last = max(last, part.stop)
    for camera in dataset.cameras:
        key = dataset.video_key(camera)
        if features.get(key, {}).get("dtype") != "video":
            yield Fault(name, f"video.{camera} is {key!r}, which is not a video of info.json")
    for annotation in dataset.modality.get("annotation", {}):
        key = dataset.annotation_column(annotation)
        if key not in features:
            yield Fault(name, f"annotation.{annotation} is {key!r}, which info.json does not have")


def _episode_list_faults(dataset: GrootDataset) -> Iterator[Fault]:
    name = "meta/episodes.jsonl"
    if not dataset.episodes:
        yield Fault(name, "lists no episodes")
    known = set(dataset.tasks.values())
    for place, entry in enumerate(dataset.episodes):
        if entry.index != place:
            yield Fault(name, f"line {place + 1} is episode {entry.index}, expected {place}")
        if entry.length < 1:
            yield Fault(name, f"has length {entry.length}", entry.index)
        unknown = [task for task in entry.tasks if task not in known]
        if unknown or not entry.tasks:
            yield Fault(name, f"tasks {list(entry.tasks)} are not in tasks.jsonl", entry.index)
    for index, task in dataset.tasks.items():
        if not task.strip():
            yield Fault("meta/tasks.jsonl", f"task {index} is empty")


def _stray_files(dataset: GrootDataset) -> Iterator[Fault]:
    expected = {dataset.rows_path(entry.index) for entry in dataset.episodes}
    for key in {*_recorded_cameras(dataset), *map(dataset.video_key, dataset.cameras)}:
        expected |= {dataset.recorded_path(entry.index, key) for entry in dataset.episodes}
    for folder, pattern in (("data", "*.parquet"), ("videos", "*.mp4")):
        for path in sorted((dataset.path / folder).rglob(pattern)):
            if path not in expected:
                yield Fault(path.relative_to(dataset.path).as_posix(), "belongs to no episode")


def _task_columns(dataset: GrootDataset) -> list[str]:
    """Return the columns that hold task indices: an annotation may have its own texts."""
    annotated = map(dataset.annotation_column, dataset.modality.get("annotation", {}))
    known = [column for column in annotated if column in dataset.info["features"]]
    return list(dict.fromkeys(("task_index", *known)))


def _rows_faults(dataset: GrootDataset, entry: EpisodeEntry, first_row: int) -> Iterator[Fault]:
    name = dataset.rows_path(entry.index).relative_to(dataset.path).as_posix()
    widths = {**dict.fromkeys(_needed(dataset)), **float_columns(dataset)}
    try:
        names = [*widths, *_COUNTED, *_task_columns(dataset)]
        columns = dataset.read_columns(entry.index, names)
    except DatasetError as error:
        yield Fault(name, str(error), entry.index)
        return
    for what in _rows_problems(dataset, entry, columns, widths, first_row):
        yield Fault(name, what, entry.index)


def _rows_problems(
    dataset: GrootDataset,
    entry: EpisodeEntry,
    columns: dict[str, np.ndarray],
    widths: dict[str, int | None],
    first_row: int,
) -> Iterator[str]:
    rows = len(columns["timestamp"])
    if rows != entry.length:
        yield f"has {rows} rows, expected {entry.length}"
        return
    for column, width in widths.items():
        if width is not None and columns[column].shape[1] != width:
            yield f"{column} is {columns[column].shape[1]} wide, expected {width}"
        elif not np.isfinite(columns[column]).all():
            bad = np.flatnonzero(~np.isfinite(columns[column]).all(axis=1))
            yield f"{column} is NaN or infinite in row {bad[0]}, {len(bad)} rows in total"
    whole = dict.fromkeys((*_COUNTED, *_task_columns(dataset)))
    unusable = [column for column in ("timestamp", *whole) if columns[column].shape[1] != 1]
    unusable += [column for column in whole if columns[column].dtype.kind not in "iu"]
    if unusable:
        yield f"{', '.join(unusable)}: expected one number per row, integers but for timestamp"
        return
    counting = np.arange(rows)
    expected = {
        "frame_index": counting,
        "index": counting + first_row,
        "episode_index": np.full(rows, entry.index),
    }
    for column, values in expected.items():
        if not np.array_equal(columns[column][:, 0], values):
            yield f"{column} does not go from {values[0]} to {values[-1]}"
    if np.abs(columns["timestamp"][:, 0] - counting / dataset.fps).max() > 0.1 / dataset.fps:
        yield f"timestamp does not count in steps of 1/{dataset.fps:g} s"
    tasks = [columns[column] for column in _task_columns(dataset)]
    used = {dataset.tasks.get(int(task)) for task in np.unique(tasks)}
    if used != set(entry.tasks):
        yield f"task_index names {sorted(map(str, used))}, episodes.jsonl {sorted(entry.tasks)}"


def _video_faults(dataset: GrootDataset, entry: EpisodeEntry) -> Iterator[Fault]:
    """Count the frames of every video, and decode the last one."""
    for camera in dataset.cameras:
        path = dataset.video_path(entry.index, camera)
        name = path.relative_to(dataset.path).as_posix()
        try:
            span = VideoSpan(path, entry.length, dataset.fps, _size(dataset, camera))
            deque(read_video(span, np.array([entry.length - 1])), maxlen=0)
        except VideoError as error:
            yield Fault(name, str(error), entry.index)


def _size(dataset: GrootDataset, camera: str) -> tuple[int, int] | None:
    """Return a camera's frame size; None (any) if info.json lacks it, which is reported apart."""
    return frame_size(dataset.info["features"].get(dataset.video_key(camera), {}))
