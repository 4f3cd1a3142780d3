"""Files of a GR00T dataset: rows, names, metadata; the same bytes for the same input."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from handover_proto import CAMERA

from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH, episode_path
from handover_conversion.groot.embodiment_map import EmbodimentMap
from handover_conversion.groot.metadata import TASK_ANNOTATION
from handover_conversion.video.encode import PIXEL_FORMAT, Codec

VIDEO_KEY = f"observation.images.{CAMERA}"
FLOAT_COLUMNS = ("observation.state", "action", "timestamp")
_INDEX_COLUMNS = ("frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True)
class ConvertedEpisode:
    """One episode at the new rate: everything except its number in the new dataset."""

    state: np.ndarray  # (rows, width) float32
    action: np.ndarray  # (rows, width) float32
    timestamp: np.ndarray  # (rows,) float32, s
    task_index: np.ndarray  # (rows,) int64
    video: bytes  # an mp4 of as many frames

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True)
class DatasetShape:
    """Properties that all episodes share, for the metadata."""

    robot_type: str
    fps: float
    image_size: int
    codec: Codec
    embodiment: EmbodimentMap


def rows_name(index: int) -> str:
    """Name of an episode's parquet file inside the dataset."""
    return episode_path(DATA_PATH, index)


def video_name(index: int) -> str:
    """Name of an episode's mp4 file inside the dataset."""
    return episode_path(VIDEO_PATH, index, VIDEO_KEY)


def unnumbered_rows(episode: ConvertedEpisode) -> pa.Table:
    """Make the table of an episode whose number in the dataset is not known yet."""
    return pa.table(
        {
            "observation.state": _lists(episode.state),
            "action": _lists(episode.action),
            "timestamp": pa.array(episode.timestamp, pa.float32()),
            "frame_index": pa.array(np.arange(len(episode)), pa.int64()),
            "task_index": pa.array(episode.task_index, pa.int64()),
        }
    )


def numbered_rows(table: pa.Table, index: int, first_row: int) -> pa.Table:
    """Add an episode's number, and its rows' numbers in the whole dataset."""
    rows = np.arange(table.num_rows, dtype=np.int64)
    table = table.append_column("episode_index", pa.array(np.full_like(rows, index)))
    table = table.append_column("index", pa.array(rows + first_row))
    return table.select([*FLOAT_COLUMNS, *_INDEX_COLUMNS])


def parquet_bytes(table: pa.Table) -> bytes:
    """Serialize a table as one row group, the same way every time."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="snappy", version="2.6", row_group_size=1 << 20)
    return file.getvalue()


def describe_info(shape: DatasetShape, lengths: Sequence[int], tasks: int) -> dict[str, Any]:
    """Make meta/info.json."""
    episodes = len(lengths)
    return {
        "codebase_version": "v2.0",
        "robot_type": shape.robot_type,
        "total_episodes": episodes,
        "total_frames": sum(lengths),
        "total_tasks": tasks,
        "total_videos": episodes,
        "total_chunks": -(-episodes // CHUNK_SIZE),
        "chunks_size": CHUNK_SIZE,
        "fps": int(shape.fps) if shape.fps == int(shape.fps) else shape.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": _features(shape),
    }


def _features(shape: DatasetShape) -> dict[str, Any]:
    vector = {
        "dtype": "float32",
        "shape": [shape.embodiment.width],
        "names": {"slots": _slot_names(shape.embodiment)},
    }
    scalar = {"shape": [1], "names": None}
    size = shape.image_size
    video = {
        "dtype": "video",
        "shape": [size, size, 3],
        "names": ["height", "width", "channel"],
        "info": {
            "video.fps": shape.fps,
            "video.height": size,
            "video.width": size,
            "video.channels": 3,
            "video.codec": {"mp4v": "mpeg4", "h264": "h264"}[shape.codec],
            "video.pix_fmt": PIXEL_FORMAT,
            "video.is_depth_map": False,
            "has_audio": False,
        },
    }
    return {
        VIDEO_KEY: video,
        "observation.state": vector,
        "action": vector,
        "timestamp": {"dtype": "float32", **scalar},
        **{name: {"dtype": "int64", **scalar} for name in _INDEX_COLUMNS},
    }


def describe_modality(embodiment: EmbodimentMap) -> dict[str, Any]:
    """Make meta/modality.json: the slots of each group, the camera and the task's column."""
    parts = {
        name: {"start": part.start, "end": part.stop} for name, part in embodiment.groups.items()
    }
    return {
        "state": {n: {**part, "original_key": "observation.state"} for n, part in parts.items()},
        "action": {name: {**part, "original_key": "action"} for name, part in parts.items()},
        "video": {CAMERA: {"original_key": VIDEO_KEY}},
        "annotation": {TASK_ANNOTATION: {"original_key": "task_index"}},
    }


def describe_episodes(
    lengths: Sequence[int], used_tasks: Sequence[Sequence[int]], tasks: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Make the lines of meta/episodes.jsonl."""
    return [
        {"episode_index": index, "tasks": [tasks[task] for task in used], "length": length}
        for index, (length, used) in enumerate(zip(lengths, used_tasks, strict=True))
    ]


def describe_tasks(tasks: Mapping[int, str]) -> list[dict[str, Any]]:
    """Make the lines of meta/tasks.jsonl."""
    return [{"task_index": index, "task": tasks[index]} for index in sorted(tasks)]


def _slot_names(embodiment: EmbodimentMap) -> list[str]:
    return [
        f"{group}_{slot}"
        for group, part in embodiment.groups.items()
        for slot in range(part.stop - part.start)
    ]


def _lists(values: np.ndarray) -> pa.ListArray:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
