"""Files of a GR00T dataset: rows, names, metadata; the same bytes for the same input."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH, episode_path
from handover_conversion.groot.metadata import TASK_ANNOTATION
from handover_conversion.robot.description import Robot, Side
from handover_conversion.video.encode import PIXEL_FORMAT, Codec

FLOAT_COLUMNS = ("observation.state", "action", "timestamp")
_INDEX_COLUMNS = ("frame_index", "episode_index", "index", "task_index")
_NOTES = b"handover.notes"  # of an episode that is not numbered yet


@dataclass(frozen=True)
class ConvertedEpisode:
    """One episode at the new rate: everything except its number in the new dataset."""

    state: np.ndarray  # (rows, width) float32
    action: np.ndarray  # (rows, width) float32
    timestamp: np.ndarray  # (rows,) float32, s
    task_index: np.ndarray  # (rows,) int64
    videos: Mapping[str, bytes]  # by the camera's name: an mp4 of as many frames
    annotations: Mapping[str, np.ndarray] = field(default_factory=dict)  # {column: (rows,) int64}
    notes: tuple[str, ...] = ()  # what was done to it that its reader should know

    def __len__(self) -> int:
        return len(self.state)


class CameraShape(Protocol):
    """A camera's properties for the metadata."""

    @property
    def name(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def codec(self) -> Codec: ...


@dataclass(frozen=True)
class DatasetShape:
    """Properties that all episodes share, for the metadata."""

    robot_type: str
    fps: float
    cameras: Sequence[CameraShape]
    robot: Robot
    annotations: Mapping[str, str] = field(default_factory=dict)  # {name: column}

    @property
    def task_columns(self) -> tuple[str, ...]:
        """The annotations' own columns of task indices."""
        return tuple(dict.fromkeys(c for c in self.annotations.values() if c != "task_index"))


def rows_name(index: int) -> str:
    """Name of an episode's parquet file inside the dataset."""
    return episode_path(DATA_PATH, index)


def video_key(camera: str) -> str:
    """Feature of info.json that holds a camera."""
    return f"observation.images.{camera}"


def video_name(index: int, camera: str) -> str:
    """Name of an episode's mp4 file inside the dataset."""
    return episode_path(VIDEO_PATH, index, video_key(camera))


def unnumbered_rows(episode: ConvertedEpisode) -> pa.Table:
    """Make the table of an episode whose number in the dataset is not known yet."""
    table = pa.table(
        {
            "observation.state": _lists(episode.state),
            "action": _lists(episode.action),
            "timestamp": pa.array(episode.timestamp, pa.float32()),
            "frame_index": pa.array(np.arange(len(episode)), pa.int64()),
            "task_index": pa.array(episode.task_index, pa.int64()),
            **{name: pa.array(v, pa.int64()) for name, v in episode.annotations.items()},
        }
    )
    return table.replace_schema_metadata({_NOTES: json.dumps(episode.notes).encode()})


def notes_of(table: pa.Table) -> list[str]:
    """Return the notes of an episode that is not numbered yet."""
    return json.loads((table.schema.metadata or {}).get(_NOTES, b"[]"))


def numbered_rows(table: pa.Table, index: int, first_row: int) -> pa.Table:
    """Add an episode's number, and its rows' numbers in the whole dataset."""
    rows = np.arange(table.num_rows, dtype=np.int64)
    table = table.append_column("episode_index", pa.array(np.full_like(rows, index)))
    table = table.append_column("index", pa.array(rows + first_row))
    first = [*FLOAT_COLUMNS, *_INDEX_COLUMNS]
    others = [name for name in table.column_names if name not in first]
    return table.select([*first, *others]).replace_schema_metadata(None)


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
        "total_videos": episodes * len(shape.cameras),
        "total_chunks": -(-episodes // CHUNK_SIZE),
        "chunks_size": CHUNK_SIZE,
        "fps": int(shape.fps) if shape.fps == int(shape.fps) else shape.fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": _features(shape),
    }


def _features(shape: DatasetShape) -> dict[str, Any]:
    scalar = {"shape": [1], "names": None}
    return {
        **{video_key(camera.name): _describe_camera(camera, shape.fps) for camera in shape.cameras},
        "observation.state": _describe_side(shape.robot.state),
        "action": _describe_side(shape.robot.action),
        "timestamp": {"dtype": "float32", **scalar},
        **{name: {"dtype": "int64", **scalar} for name in (*_INDEX_COLUMNS, *shape.task_columns)},
    }


def _describe_camera(camera: CameraShape, fps: float) -> dict[str, Any]:
    size = camera.image_size
    return {
        "dtype": "video",
        "shape": [size, size, 3],
        "names": ["height", "width", "channel"],
        "info": {
            "video.fps": fps,
            "video.height": size,
            "video.width": size,
            "video.channels": 3,
            "video.codec": {"mp4v": "mpeg4", "h264": "h264"}[camera.codec],
            "video.pix_fmt": PIXEL_FORMAT,
            "video.is_depth_map": False,
            "has_audio": False,
        },
    }


def _describe_side(side: Side) -> dict[str, Any]:
    slots = [f"{group.name}_{slot}" for group in side.groups for slot in range(group.width)]
    return {"dtype": "float32", "shape": [side.width], "names": {"slots": slots}}


def describe_modality(shape: DatasetShape) -> dict[str, Any]:
    """Make meta/modality.json: the slots of each group, the cameras and the task's column."""
    sides = {"state": shape.robot.state, "action": shape.robot.action}
    columns = {"state": "observation.state", "action": "action"}
    described: dict[str, Any] = {
        kind: {
            name: {"start": part.start, "end": part.stop, "original_key": columns[kind]}
            for name, part in side.slices.items()
        }
        for kind, side in sides.items()
    }
    described["video"] = {c.name: {"original_key": video_key(c.name)} for c in shape.cameras}
    annotations = {TASK_ANNOTATION: "task_index", **shape.annotations}
    described["annotation"] = {n: {"original_key": column} for n, column in annotations.items()}
    return described


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


def _lists(values: np.ndarray) -> pa.ListArray:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
