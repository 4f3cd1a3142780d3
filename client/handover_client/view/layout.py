"""Files of a dataset's episodes: LeRobot 2.0, 2.1 and 3.0, and GR00T datasets in either layout.

Only what a viewer needs, and as tolerant as it can be: judging a dataset is the check's business.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from handover_conversion import DatasetError, episode_path

_V2_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_V2_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


@dataclass(frozen=True)
class EpisodeFiles:
    """Places of one episode: its rows, and of each camera (feature) the file and the start in it.

    shared: other episodes lie in the same files, as in LeRobot 3.0.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    rows: Path
    videos: Mapping[str, tuple[Path, float]]
    shared: bool


def find_episodes(
    root: Path, info: Mapping[str, Any], cameras: Sequence[str]
) -> list[EpisodeFiles]:
    """Find the files of every episode, in the order of the indices. Raises DatasetError."""
    try:
        find = _find_v3 if (root / "meta/episodes").is_dir() else _find_v2
        found = {each.index: each for each in find(root, info, cameras)}
    except (KeyError, IndexError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{root}: the list of episodes cannot be read: {_brief(error)}; "
            "handover check says what is wrong"
        ) from None
    if not found:
        raise DatasetError(f"{root} lists no episodes: nothing to see")
    return [found[index] for index in sorted(found)]


def read_tasks(root: Path) -> dict[int, str]:
    """Read the instructions by their index; empty where the dataset has no list of them."""
    try:
        if (root / "meta/tasks.parquet").is_file():
            rows = pq.read_table(root / "meta/tasks.parquet").to_pylist()
            texts = {
                row["task_index"]: row.get("task", row.get("__index_level_0__")) for row in rows
            }
        else:
            texts = {row["task_index"]: row["task"] for row in _lines(root / "meta/tasks.jsonl")}
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException):
        return {}
    return {int(index): str(text) for index, text in texts.items()}


def read_table(episode: EpisodeFiles, columns: Sequence[str]) -> pa.Table:
    """Read columns of an episode's rows. Raises DatasetError naming the file."""
    try:
        only = [("episode_index", "=", episode.index)] if episode.shared else None
        return pq.read_table(episode.rows, columns=list(dict.fromkeys(columns)), filters=only)
    except FileNotFoundError:
        raise DatasetError(f"{episode.rows} is missing") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{episode.rows} cannot be read: {_brief(error)}") from None


def matrix(table: pa.Table, name: str) -> np.ndarray:
    """Convert a column of numbers, or of lists of one length, to (rows, width) float64.

    A missing number is NaN. Raises DatasetError for any other column.
    """
    try:
        rows = table.column(name).to_pylist()
        values = np.array([np.ravel(np.asarray(row, np.float64)) for row in rows])
        return values.reshape(len(rows), -1)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{name} is no column of numbers of one width: {_brief(error)}"
        ) from None


def _find_v2(root: Path, info: Mapping[str, Any], cameras: Sequence[str]) -> list[EpisodeFiles]:
    size = int(info.get("chunks_size") or 1000)
    data, video = str(info.get("data_path") or _V2_DATA), str(info.get("video_path") or _V2_VIDEO)
    found = []
    for line in _lines(root / "meta/episodes.jsonl"):
        index = int(line["episode_index"])
        videos = {key: (root / episode_path(video, index, key, size), 0.0) for key in cameras}
        rows = root / episode_path(data, index, chunk_size=size)
        tasks = tuple(map(str, line.get("tasks") or ()))
        found.append(EpisodeFiles(index, int(line["length"]), tasks, rows, videos, shared=False))
    return found


def _find_v3(root: Path, info: Mapping[str, Any], cameras: Sequence[str]) -> list[EpisodeFiles]:
    found = []
    for path in sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet")):
        wanted = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
        for row in pq.read_table(path, columns=wanted).to_pylist():
            videos = {
                key: (root / f"videos/{key}/{_file(row, f'videos/{key}')}.mp4", float(start))
                for key in cameras
                if (start := row.get(f"videos/{key}/from_timestamp")) is not None
            }
            rows = root / f"data/{_file(row, 'data')}.parquet"
            index, tasks = int(row["episode_index"]), tuple(map(str, row.get("tasks") or ()))
            found.append(EpisodeFiles(index, int(row["length"]), tasks, rows, videos, shared=True))
    return found


def _file(row: Mapping[str, Any], place: str) -> str:
    chunk, file = int(row[f"{place}/chunk_index"]), int(row[f"{place}/file_index"])
    return f"chunk-{chunk:03d}/file-{file:03d}"


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def _brief(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return f"{type(error).__name__}: {text}".splitlines()[0][:200]
