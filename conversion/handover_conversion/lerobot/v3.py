"""LeRobot 3.0 reader: many episodes share a parquet and an mp4 file, located by meta/episodes."""

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import frame_size
from handover_conversion.lerobot.episodes import FoundEpisodes, unlisted_episodes
from handover_conversion.lerobot.row_images import RowImages
from handover_conversion.lerobot.rows import RowsSpan
from handover_conversion.locations import fill_pattern, regular_file
from handover_conversion.recordings import FrameSource, RecordedEpisode, SourceInfo
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


def read_episodes(source: SourceInfo, cameras: tuple[str, ...]) -> FoundEpisodes:
    """Find every episode's rows and frames, in the order of their indices."""
    videos = [key for key in cameras if source.features[key].dtype == "video"]
    records, faults = _read_places(source.root, videos)
    notes: list[str] = []
    for name, record in records:
        faults += _row_faults(name, record)
        for key in videos:
            faults += _time_faults(name, record, key)
            notes += _odd_ends(record, key, source.fps)
    faults += _overlaps(records, videos, source.fps)
    episodes: dict[int, RecordedEpisode] = {}
    for name, record in records:
        index = record["episode_index"]
        if index in episodes:
            faults.append(Fault(name, "the episode is listed twice", index))
        else:
            episodes[index] = _locate(source, record, cameras)
    unlisted, told = unlisted_episodes(
        "meta/episodes", source.info, episodes, faults, _has_rows_between(records)
    )
    ordered = tuple(episodes[index] for index in sorted(episodes))
    return FoundEpisodes(ordered, (*faults, *unlisted), (*notes, *told))


def _has_rows_between(records: list[tuple[str, dict[str, Any]]]) -> Callable[[int], bool]:
    """Tell whether an unlisted episode's rows are still there: they leave a gap in the offsets."""
    spans = sorted((r["dataset_from_index"], r["dataset_to_index"]) for _, r in records)
    starts = [0, *(end for _, end in spans)]
    gap = any(start > before for before, (start, _) in zip(starts, spans, strict=False))
    return lambda _: gap


def _video_columns(video_key: str) -> tuple[str, ...]:
    fields = ("chunk_index", "file_index", "from_timestamp")
    return tuple(f"videos/{video_key}/{field}" for field in fields)


def _end_column(video_key: str) -> str:
    """Column of the end of an episode's frames, which neither players nor conversion need."""
    return f"videos/{video_key}/to_timestamp"


def _read_places(
    root: Path, videos: list[str]
) -> tuple[list[tuple[str, dict[str, Any]]], list[Fault]]:
    """Read (file, row) of every episode, without the statistics stored in the same files."""
    files = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DatasetError(f"{root} has no meta/episodes/chunk-*/file-*.parquet")
    wanted = (*_PLACE_COLUMNS, *(column for key in videos for column in _video_columns(key)))
    ends = [_end_column(key) for key in videos]
    records, faults = [], []
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            parquet = pq.ParquetFile(regular_file(root, name))
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
            optional = [column for column in ends if column in parquet.schema_arrow.names]
            rows = parquet.read(columns=[*wanted, *optional]).to_pylist()
        except (DatasetError, OSError, pa.ArrowException) as error:
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


def _row_faults(name: str, record: dict[str, Any]) -> list[Fault]:
    """Compare an episode's row offsets with its length."""
    index, length = record["episode_index"], record["length"]
    rows = record["dataset_to_index"] - record["dataset_from_index"]
    faults = []
    if length < 1:
        faults.append(Fault(name, f"has length {length}, expected at least 1", index))
    if rows != length:
        faults.append(
            Fault(name, f"its row offsets span {rows} rows, its length is {length}", index)
        )
    return faults


def _time_faults(name: str, record: dict[str, Any], key: str) -> list[Fault]:
    start = record[f"videos/{key}/from_timestamp"]
    if math.isfinite(start) and start >= 0:
        return []
    what = f"its video offsets span nan frames: {key} starts at {start} s"
    return [Fault(name, what, record["episode_index"])]


def _odd_ends(record: dict[str, Any], key: str, fps: float) -> list[str]:
    """Tell of an end that is not the length's: players use the length, and so does conversion."""
    end = record.get(_end_column(key))
    if end is None:
        return []
    frames = (end - record[f"videos/{key}/from_timestamp"]) * fps
    if abs(frames - record["length"]) <= 0.011 * record["length"] + 0.5:
        return []
    return [
        f"episode {record['episode_index']}: to_timestamp of {key} spans {frames:.1f} frames, "
        f"its length is {record['length']}, which is used"
    ]


def _overlaps(
    records: list[tuple[str, dict[str, Any]]], videos: list[str], fps: float
) -> list[Fault]:
    """Find episodes that claim the same rows, or the same frames of one video file."""
    rows, frames = [], defaultdict(list)
    for name, record in records:
        index = record["episode_index"]
        rows.append((record["dataset_from_index"], record["dataset_to_index"], index, name))
        for key in videos:
            chunk, file, start = (record[column] for column in _video_columns(key))
            end = start * fps + record["length"]
            if math.isfinite(end):
                frames[key, chunk, file].append((start * fps, end, index, name))
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
    source: SourceInfo, record: dict[str, Any], cameras: tuple[str, ...]
) -> RecordedEpisode:
    root, info = source.root, source.info
    index, length = record["episode_index"], record["length"]
    data = {
        "chunk_index": record["data/chunk_index"],
        "file_index": record["data/file_index"],
    }
    frames: dict[str, FrameSource] = {}
    try:
        rows = root / fill_pattern(info.get("data_path") or _DATA_PATH, data)
        for key in cameras:
            if source.features[key].dtype == "image":
                frames[key] = RowImages(root, rows, index, key, length, shared=True)
                continue
            chunk, file, start = (record[column] for column in _video_columns(key))
            place = {"video_key": key, "chunk_index": chunk, "file_index": file}
            path = root / fill_pattern(info.get("video_path") or _VIDEO_PATH, place)
            size = frame_size(info["features"][key])
            end = record.get(_end_column(key))
            frames[key] = VideoSpan(path, length, source.fps, size, float(start), True, end)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root}: meta/info.json: data_path or video_path cannot be used: {error}"
        ) from None
    return RecordedEpisode(index, RowsSpan(rows, length, shared=True), frames)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
