"""Small synthetic datasets in every layout that people have, with values that tests foresee."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ENCODER = {"g": "6", "crf": "10", "preset": "ultrafast"}
TASK = "Pick up the cube."


@dataclass
class MadeDataset:
    """How a dataset is made; columns: {name: (width, dtype)}, cameras: {feature: (height, width)}.

    indices: {column: the index of the task at a row}; images: features that lie in the rows
    """

    columns: Mapping[str, tuple[int, str]]
    modality: Mapping[str, Any]
    cameras: Mapping[str, tuple[int, int]]
    lengths: Sequence[int] = (30, 24)
    fps: int = 20
    tasks: Sequence[str] = (TASK,)
    indices: Mapping[str, Any] = field(default_factory=lambda: {"task_index": lambda *_: 0})
    images: Sequence[str] = ()
    version: str = "v2.1"
    counts: bool = True
    info: Mapping[str, Any] = field(default_factory=dict)

    def values(self, name: str, episode: int) -> np.ndarray:
        """What a column holds: (length, width), sines of known phase."""
        width, dtype = self.columns[name]
        time_s = np.arange(self.lengths[episode])[:, None] / self.fps
        phase = 7 * episode + np.arange(width) + len(name)
        lead = 0.2 if name.startswith(("action", "teleop")) else 0.0
        return np.sin(2 * (time_s + lead) + phase).astype(dtype)

    def make(self, root: Path) -> Path:
        """Write the dataset; returns its folder."""
        (root / "meta").mkdir(parents=True)
        (root / "meta/info.json").write_text(json.dumps(self._info()))
        if self.modality:
            (root / "meta/modality.json").write_text(json.dumps(self.modality))
        tables = [self._table(episode) for episode in range(len(self.lengths))]
        (_write_shared if self.version == "v3.0" else _write_apart)(self, root, tables)
        return root

    def _info(self) -> dict[str, Any]:
        features = {
            key: {
                "dtype": "image" if key in self.images else "video",
                "shape": [*size, 3],
                "names": ["height", "width", "channel"],
            }
            for key, size in self.cameras.items()
        }
        for name, (width, dtype) in self.columns.items():
            features[name] = {"dtype": dtype, "shape": [width]}
        if self.counts:
            counted = ("frame_index", "episode_index", "index", *self.indices)
            features |= {name: {"dtype": "int64", "shape": [1]} for name in counted}
            features["timestamp"] = {"dtype": "float32", "shape": [1]}
        return {
            "codebase_version": self.version,
            "fps": self.fps,
            "chunks_size": 1000,
            "features": features,
            **_PATTERNS[self.version == "v3.0"],
            **self.info,
        }

    def _table(self, episode: int) -> pa.Table:
        length = self.lengths[episode]
        rows = np.arange(length)
        columns = {
            name: pa.array(list(self.values(name, episode)))
            if width > 1
            else pa.array(self.values(name, episode)[:, 0])
            for name, (width, _) in self.columns.items()
        }
        for name, index in self.indices.items():
            columns[name] = pa.array([index(episode, row) for row in range(length)])
        if self.counts:
            columns["timestamp"] = pa.array((rows / self.fps).astype(np.float32))
            columns["frame_index"] = pa.array(rows)
            columns["index"] = pa.array(rows + sum(self.lengths[:episode]))
        if self.counts or self.version == "v3.0":
            columns["episode_index"] = pa.array(np.full(length, episode))
        for key in self.images:
            cells = [{"bytes": _png(frame), "path": "x.png"} for frame in self.frames(key, episode)]
            columns[key] = pa.array(cells)
        return pa.table(columns)

    def frames(self, key: str, episode: int) -> list[np.ndarray]:
        """What a camera saw: the upper half tells the row, the lower the episode and camera."""
        height, width = self.cameras[key]
        place = list(self.cameras).index(key)
        found = []
        for row in range(self.lengths[episode]):
            frame = np.full((height, width, 3), 60 + (40 * episode + 20 * place) % 160, np.uint8)
            frame[: height // 2] = 40 + 5 * row % 210
            found.append(frame)
        return found


_PATTERNS = {
    False: {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
        "episode_{episode_index:06d}.mp4",
    },
    True: {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    },
}


def told_row(frame: np.ndarray) -> int:
    """Read the row back from a decoded frame."""
    return round((float(frame[: len(frame) // 2 - 2].mean()) - 40) / 5)


def _write_apart(made: MadeDataset, root: Path, tables: Sequence[pa.Table]) -> None:
    lines = []
    for episode, table in enumerate(tables):
        path = root / f"data/chunk-000/episode_{episode:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        for key in made.cameras:
            if key not in made.images:
                name = f"videos/chunk-000/{key}/episode_{episode:06d}.mp4"
                _encode(root / name, made.frames(key, episode), made.fps)
        lines.append({"episode_index": episode, "tasks": _used(made, episode)})
        lines[-1]["length"] = made.lengths[episode]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = [{"task_index": index, "task": text} for index, text in enumerate(made.tasks)]
    (root / "meta/tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in tasks))


def _write_shared(made: MadeDataset, root: Path, tables: Sequence[pa.Table]) -> None:
    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), root / "data/chunk-000/file-000.parquet")
    starts = np.cumsum([0, *made.lengths])
    records: list[dict[str, Any]] = []
    for episode, length in enumerate(made.lengths):
        first = int(starts[episode])
        record = {"episode_index": episode, "tasks": _used(made, episode), "length": length}
        record |= {"data/chunk_index": 0, "data/file_index": 0}
        record |= {"dataset_from_index": first, "dataset_to_index": first + length}
        for key in made.cameras:
            place = f"videos/{key}"
            record |= {f"{place}/chunk_index": 0, f"{place}/file_index": 0}
            record[f"{place}/from_timestamp"] = first / made.fps
            record[f"{place}/to_timestamp"] = (first + length) / made.fps
        records.append(record)
    pq.write_table(pa.Table.from_pylist(records), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = {"task_index": list(range(len(made.tasks))), "task": list(made.tasks)}
    pq.write_table(pa.table(tasks), root / "meta/tasks.parquet")
    for key in made.cameras:
        if key not in made.images:
            frames = [f for episode in range(len(tables)) for f in made.frames(key, episode)]
            _encode(root / f"videos/{key}/chunk-000/file-000.mp4", frames, made.fps)


def _used(made: MadeDataset, episode: int) -> list[str]:
    index = made.indices.get("task_index", lambda *_: 0)
    rows = range(made.lengths[episode])
    return [made.tasks[one] for one in dict.fromkeys(index(episode, row) for row in rows)]


def _encode(path: Path, frames: Sequence[np.ndarray], fps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=_ENCODER)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for count, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = count, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _png(frame: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def parts(**groups: tuple) -> dict[str, dict[str, Any]]:
    """Describe groups as modality.json does: parts(arm=(0, 6), eef=(0, 3, "observation.eef"))."""
    return {
        name: {"start": part[0], "end": part[1]}
        | ({"original_key": part[2]} if len(part) > 2 else {})
        for name, part in groups.items()
    }


def two_arms(**changes: Any) -> MadeDataset:
    """A robot with groups of several columns, three cameras of different sizes, two annotations."""
    made = {
        "columns": {
            "observation.state": (8, "float64"),
            "observation.gripper": (1, "float32"),
            "action": (8, "float32"),
            "teleop.gripper": (1, "float64"),
        },
        "modality": {
            "state": parts(arm=(1, 7), gripper=(0, 1, "observation.gripper")),
            "action": parts(gripper=(0, 1, "teleop.gripper"), arm=(1, 7)),
            "video": {
                "high": {"original_key": "observation.images.cam_high"},
                "left": {"original_key": "observation.images.cam_left"},
                "right": {"original_key": "observation.images.right"},
            },
            "annotation": {"human.coarse": {}, "human.fine": {"original_key": "task_index"}},
        },
        "cameras": {
            "observation.images.cam_high": (64, 96),
            "observation.images.cam_left": (96, 64),
            "observation.images.right": (48, 48),
        },
        "tasks": ("Tidy up.", "Pick up the cube.", "Put down the cube."),
        "indices": {
            "task_index": lambda episode, row: 1 + row // 12 % 2,
            "annotation.human.coarse": lambda episode, row: 0,
        },
    }
    return MadeDataset(**(made | changes))
