"""LeRobot 3.0 reader: many episodes share a parquet and an mp4 file, located by meta/episodes."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import frame_size
from handover_conversion.lerobot.dataset import EpisodeLocation, RowsSpan, unlisted_episodes
from handover_conversion.locations import fill_pattern, regular_file
from handover_conversion.video.decode import VideoSpan

_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_PLACE_COLUMNS = (
    "episode_index",
    "length",
    "data/chunk_index",
    "data/file_index",
    "dataset_from_index",
    "dataset_to_index",
)


def read_tasks(root: Path) -> tuple[dict[int, str], list[Fault]]:
    """Read the task texts by their index; the text is the pandas index of the table."""
    name = "meta/tasks.parquet"
    try:
        with pq.ParquetFile(regular_file(root, name)) as file:
            rows = file.read().to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{root / name} cannot be read: {_first_line(error)}") from None
    tasks = {}
    for row in rows:
        text = row.get("task", row.get("__index_level_0__"))
        if not isinstance(row.get("task_index"), int) or not isinstance(text, str):
            raise DatasetError(f"{root / name}: expected task_index and the task's text, got {row}")
        tasks[row["task_index"]] = text
    return tasks, []


def read_episodes(
    root: Path, info: dict[str, Any], video_key: str, fps: float
) -> tuple[tuple[EpisodeLocation, ...], list[Fault]]:
    """Find every episode's rows and frames, in the order of their indices."""
    records, faults = _read_places(root, video_key)
    for name, record in records:
        faults += _own_faults(name, record, video_key, fps)
    faults += _overlaps(records, video_key, fps)
    episodes: dict[int, EpisodeLocation] = {}
    for name, record in records:
        index = record["episode_index"]
        if index in episodes:
            faults.append(Fault(name, "the episode is listed twice", index))
        else:
            episodes[index] = _locate(root, info, record, video_key, fps)
    faults += unlisted_episodes("meta/episodes", info, episodes, faults)
    return tuple(episodes[index] for index in sorted(episodes)), faults


def _video_columns(video_key: str) -> tuple[str, ...]:
    fields = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    return tuple(f"videos/{video_key}/{field}" for field in fields)


def _read_places(
    root: Path, video_key: str
) -> tuple[list[tuple[str, dict[str, Any]]], list[Fault]]:
    """Read (file, row) of every episode, without the statistics stored in the same files."""
    files = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DatasetError(f"{root} has no meta/episodes/chunk-*/file-*.parquet")
    wanted = (*_PLACE_COLUMNS, *_video_columns(video_key))
    records, faults = [], []
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            parquet = pq.ParquetFile(path)
            missing = set(wanted) - set(parquet.schema_arrow.names)
            if missing:
                faults.append(Fault(name, f"has no column {', '.join(sorted(missing))}"))
                continue
            other = {column: parquet.schema_arrow.field(column).type for column in wanted}
            other = {column: kind for column, kind in other.items() if not _is_number(column, kind)}
            if other:
                held = ", ".join(f"{column} holds {kind}" for column, kind in other.items())
                faults.append(Fault(name, f"{held}, expected numbers"))
                continue
            rows = parquet.read(columns=list(wanted)).to_pylist()
        except (OSError, pa.ArrowException) as error:
            faults.append(Fault(name, f"cannot be read: {_first_line(error)}"))
            continue
        for row in rows:
            empty = [column for column in wanted if row[column] is None]
            if empty:
                faults.append(Fault(name, f"has no {', '.join(empty)}", row["episode_index"]))
            else:
                records.append((name, row))
    return records, faults


def _is_number(column: str, kind: pa.DataType) -> bool:
    if pa.types.is_floating(kind):
        return column.endswith("_timestamp")
    return pa.types.is_integer(kind)


def _own_faults(name: str, record: dict[str, Any], video_key: str, fps: float) -> list[Fault]:
    """Compare an episode's offsets with its length."""
    index, length = record["episode_index"], record["length"]
    rows = record["dataset_to_index"] - record["dataset_from_index"]
    _, _, start, end = (record[column] for column in _video_columns(video_key))
    faults = []
    if length < 1:
        faults.append(Fault(name, f"has length {length}, expected at least 1", index))
    if rows != length:
        faults.append(
            Fault(name, f"its row offsets span {rows} rows, its length is {length}", index)
        )
    if not abs((end - start) * fps - length) <= 0.5:  # nor is NaN a time
        frames = (end - start) * fps
        faults.append(
            Fault(
                name, f"its video offsets span {frames:.1f} frames, its length is {length}", index
            )
        )
    return faults


def _overlaps(records: list[tuple[str, dict[str, Any]]], video_key: str, fps: float) -> list[Fault]:
    """Find episodes that claim the same rows, or the same frames of one video file."""
    rows, frames = [], defaultdict(list)
    for name, record in records:
        index = record["episode_index"]
        rows.append((record["dataset_from_index"], record["dataset_to_index"], index, name))
        chunk, file, start, end = (record[column] for column in _video_columns(video_key))
        frames[chunk, file].append((start * fps, end * fps, index, name))
    faults = _overlaps_among(rows, "rows")
    for spans in frames.values():
        faults += _overlaps_among(spans, "frames")
    return faults


def _overlaps_among(spans: list[tuple[float, float, int, str]], unit: str) -> list[Fault]:
    """Compare each (start, end, episode, file) with the furthest-reaching one before it."""
    faults, furthest = [], None
    for span in sorted(spans):
        start, end, index, name = span
        if furthest is not None and start < furthest[1] - 0.5:
            other_start, other_end, other, other_name = furthest
            what = f"its {unit} {start:.0f}–{end:.0f} overlap"
            faults.append(
                Fault(name, f"{what} {other_start:.0f}–{other_end:.0f} of episode {other}", index)
            )
            what = (
                f"its {unit} {other_start:.0f}–{other_end:.0f} are claimed by episode {index} too"
            )
            faults.append(Fault(other_name, what, other))
        if furthest is None or end > furthest[1]:
            furthest = span
    return faults


def _locate(
    root: Path, info: dict[str, Any], record: dict[str, Any], video_key: str, fps: float
) -> EpisodeLocation:
    chunk, file, start, _ = (record[column] for column in _video_columns(video_key))
    data = {
        "chunk_index": record["data/chunk_index"],
        "file_index": record["data/file_index"],
    }
    video = {"video_key": video_key, "chunk_index": chunk, "file_index": file}
    try:
        data_path = root / fill_pattern(info.get("data_path") or _DATA_PATH, data)
        video_path = root / fill_pattern(info.get("video_path") or _VIDEO_PATH, video)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root}: meta/info.json: data_path or video_path cannot be used: {error}"
        ) from None
    size = frame_size(info["features"][video_key])
    return EpisodeLocation(
        record["episode_index"],
        RowsSpan(data_path, record["length"], shared=True),
        VideoSpan(video_path, record["length"], fps, size, float(start), shared=True),
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
