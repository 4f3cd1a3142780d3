"""LeRobot v2.1 writer: recordings as files exactly like those of lerobot 0.3."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from handover_common import link_or_copy, make_folders_above, write_json, write_json_lines
from handover_proto import ALOHA_JOINTS

from handover_conversion.features import CHUNK_SIZE, DATA_PATH, VIDEO_PATH, episode_path
from handover_conversion.lerobot.frame_statistics import RecordingCodec
from handover_conversion.video.encode import PIXEL_FORMAT

VERSION = "v2.1"

_COLUMNS = {
    "next.done": pa.bool_(),
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
}
_DTYPES = {"bool": "bool", "float": "float32", "int64": "int64"}  # Arrow's names, LeRobot's names


@dataclass(frozen=True)
class RecordedSteps:
    """One recorded episode: the state before each step, its action, and its cameras' videos.

    `state` and `action` are (L, joints) float32. `videos` are files by camera, as
    in the format; each shows its camera at the times of the states. `image_statistics` are
    VideoRecorder's, by camera. `marks` are columns of their own, (L,) bool, such as `intervention`;
    `measures` the same, float32.
    """

    state: np.ndarray
    action: np.ndarray
    videos: Mapping[str, Path]
    image_statistics: Mapping[str, dict[str, list]]
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True)
class RecordingFormat:
    """Properties that all episodes of a dataset share."""

    task: str
    fps: int
    cameras: Mapping[str, tuple[int, int]]  # {"observation.images.top": (height, width)}
    codec: RecordingCodec
    marks: tuple[str, ...] = ()  # names of every episode's marks
    measures: tuple[str, ...] = ()
    joints: tuple[str, ...] = ALOHA_JOINTS  # of state and action
    robot_type: str = "aloha"


def write_recordings(
    folder: Path, form: RecordingFormat, episodes: Iterable[RecordedSteps]
) -> None:
    """Write the dataset into an empty folder; videos are linked or copied there.

    Not atomic: write into a folder that is renamed once this has returned.
    """
    lengths: list[int] = []
    described, listed = [], []
    for index, episode in enumerate(episodes):
        columns = _columns(episode, index, first_row=sum(lengths), fps=form.fps)
        columns |= {name: episode.marks[name] for name in form.marks}
        columns |= {name: episode.measures[name].astype(np.float32) for name in form.measures}
        _write_rows(folder / episode_path(DATA_PATH, index), columns, _kinds(form))
        for camera in form.cameras:
            link_or_copy(episode.videos[camera], folder / episode_path(VIDEO_PATH, index, camera))
        statistics = {camera: episode.image_statistics[camera] for camera in form.cameras}
        statistics |= {name: column_statistics(values) for name, values in columns.items()}
        described.append({"episode_index": index, "stats": statistics})
        listed.append({"episode_index": index, "tasks": [form.task], "length": len(episode)})
        lengths.append(len(episode))
    meta = folder / "meta"
    meta.mkdir(exist_ok=True)
    write_json_lines(meta / "episodes_stats.jsonl", described)
    write_json_lines(meta / "episodes.jsonl", listed)
    write_json_lines(meta / "tasks.jsonl", [{"task_index": 0, "task": form.task}])
    write_json(meta / "info.json", _describe(form, lengths))


def column_statistics(values: np.ndarray) -> dict[str, list]:
    """Statistics of a column as in episodes_stats.jsonl: (L,) or (L, D), population std."""
    rows = values if values.ndim == 2 else values[:, None]
    numbers = rows.astype(np.float64)
    return {
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
        "mean": numbers.mean(axis=0).tolist(),
        "std": numbers.std(axis=0).tolist(),
        "count": [len(rows)],
    }


def _columns(episode: RecordedSteps, index: int, first_row: int, fps: int) -> dict[str, np.ndarray]:
    steps = np.arange(len(episode))
    return {
        "observation.state": episode.state.astype(np.float32),
        "action": episode.action.astype(np.float32),
        "next.done": steps == len(episode) - 1,
        "timestamp": (steps / fps).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(len(episode), index),
        "index": first_row + steps,
        "task_index": np.zeros(len(episode), np.int64),
    }


def _kinds(form: RecordingFormat) -> dict[str, pa.DataType]:
    """Arrow's types of the columns."""
    joints = dict.fromkeys(
        ("observation.state", "action"), pa.list_(pa.float32(), len(form.joints))
    )
    marks = dict.fromkeys(form.marks, pa.bool_())
    return joints | _COLUMNS | marks | dict.fromkeys(form.measures, pa.float32())


def _write_rows(
    path: Path, columns: dict[str, np.ndarray], kinds: Mapping[str, pa.DataType]
) -> None:
    arrays = [
        pa.FixedSizeListArray.from_arrays(pa.array(columns[name].ravel()), type=kind)
        if pa.types.is_fixed_size_list(kind)
        else pa.array(columns[name], kind)
        for name, kind in kinds.items()
    ]
    schema = pa.schema(list(kinds.items()), metadata={"huggingface": _datasets_schema(kinds)})
    make_folders_above(path)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def _datasets_schema(kinds: Mapping[str, pa.DataType]) -> str:
    """Describe the columns to the `datasets` package, through which lerobot reads them."""
    features: dict[str, Any] = {}
    for name, kind in kinds.items():
        if pa.types.is_fixed_size_list(kind):
            value = {"dtype": "float32", "_type": "Value"}
            features[name] = {"feature": value, "length": kind.list_size, "_type": "Sequence"}
        else:
            features[name] = {"dtype": _DTYPES[str(kind)], "_type": "Value"}
    return json.dumps({"info": {"features": features}})


def _describe(form: RecordingFormat, lengths: Sequence[int]) -> dict[str, Any]:
    count = len(lengths)
    return {
        "codebase_version": VERSION,
        "robot_type": form.robot_type,
        "total_episodes": count,
        "total_frames": sum(lengths),
        "total_tasks": 1,
        "total_videos": count * len(form.cameras),
        "total_chunks": -(-count // CHUNK_SIZE),
        "chunks_size": CHUNK_SIZE,
        "fps": form.fps,
        "splits": {"train": f"0:{count}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": _features(form),
    }


def _features(form: RecordingFormat) -> dict[str, Any]:
    features: dict[str, Any] = {
        camera: {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channel"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": form.codec,
                "video.pix_fmt": PIXEL_FORMAT,
                "video.is_depth_map": False,
                "video.fps": form.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
        for camera, (height, width) in form.cameras.items()
    }
    for name, kind in _kinds(form).items():
        if pa.types.is_fixed_size_list(kind):
            names = {"motors": list(form.joints)}
            features[name] = {"dtype": "float32", "shape": [len(form.joints)], "names": names}
        else:
            features[name] = {"dtype": _DTYPES[str(kind)], "shape": [1], "names": None}
    return features
