"""GrootDataset: the reader of a GR00T dataset's episodes, rows and frames.

Needs only numpy, pyarrow and av.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handover_conversion.errors import DatasetError
from handover_conversion.features import episode_path
from handover_conversion.groot.hashing import combine_digests, file_digest
from handover_conversion.groot.metadata import (
    TASK_ANNOTATION,
    EpisodeEntry,
    read_episodes,
    read_fps,
    read_groups,
    read_modality,
    read_tasks,
)
from handover_conversion.metadata_files import read_json
from handover_conversion.video.decode import VideoError, VideoSpan, read_video

_NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)


@dataclass(frozen=True)
class Episode:
    """One episode's rows."""

    state: np.ndarray  # (L, D) float32
    action: np.ndarray  # (L, D) float32
    timestamp: np.ndarray  # (L,) float32, s
    task_index: np.ndarray  # (L,) int64
    tasks: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.state)

    def task_at(self, row: int) -> str:
        """Return the instruction at a row."""
        return self.tasks[int(self.task_index[row])]


@dataclass(frozen=True)
class GrootDataset:
    """A dataset in the layout that NVIDIA's N1.6 loader reads (LeRobot v2 and modality.json)."""

    path: Path
    fps: float
    episodes: tuple[EpisodeEntry, ...]
    cameras: tuple[str, ...]
    state_groups: dict[str, slice]
    action_groups: dict[str, slice]
    conversion: dict[str, Any] | None  # how it was made: conversion.json, where there is one
    info: dict[str, Any] = field(repr=False)
    modality: dict[str, Any] = field(repr=False)
    tasks: dict[int, str] = field(repr=False)
    state_column: str = "observation.state"
    action_column: str = "action"

    @classmethod
    def open(cls, path: Path | str) -> "GrootDataset":
        """Read the dataset's metadata. Raises DatasetError."""
        path = Path(path)
        info = read_json(path, "meta/info.json")
        modality = read_modality(path)
        state_groups, state_column = read_groups(path, modality, "state", "observation.state")
        action_groups, action_column = read_groups(path, modality, "action", "action")
        has_record = (path / "meta/conversion.json").is_file()
        return cls(
            path=path,
            fps=read_fps(path, info),
            episodes=read_episodes(path),
            cameras=tuple(modality.get("video", {})),
            state_groups=state_groups,
            action_groups=action_groups,
            conversion=read_json(path, "meta/conversion.json") if has_record else None,
            info=info,
            modality=modality,
            tasks=read_tasks(path),
            state_column=state_column,
            action_column=action_column,
        )

    def read_episode(self, index: int) -> Episode:
        """Read one episode's rows. Raises DatasetError; for an unknown index it lists the known."""
        entry = self._entry(index)
        task_column = self._task_column()
        names = [self.state_column, self.action_column, "timestamp", task_column]
        columns = self.read_columns(index, names)
        if len(columns["timestamp"]) != entry.length:
            raise DatasetError(
                f"{self.rows_path(index)} has {len(columns['timestamp'])} rows, "
                f"meta/episodes.jsonl says {entry.length}"
            )
        _check_groups(self.path, "state", self.state_groups, columns[self.state_column])
        _check_groups(self.path, "action", self.action_groups, columns[self.action_column])
        task_index = columns[task_column][:, 0].astype(np.int64)
        unknown = sorted(set(task_index.tolist()) - set(self.tasks))
        if unknown:
            raise DatasetError(
                f"{self.rows_path(index)}: {task_column} {unknown[0]} is not in meta/tasks.jsonl"
            )
        return Episode(
            state=columns[self.state_column].astype(np.float32),
            action=columns[self.action_column].astype(np.float32),
            timestamp=columns["timestamp"][:, 0].astype(np.float32),
            task_index=task_index,
            tasks=self.tasks,
        )

    def read_columns(self, index: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Read an episode's columns as they are stored: {name: (L, width)}. Raises DatasetError."""
        path = self.rows_path(index)
        try:
            table = pq.read_table(path, columns=list(dict.fromkeys(names)))
            return {name: _matrix(table, name) for name in names}
        except KeyError as error:
            raise DatasetError(f"{path} has no column {error}") from None
        except FileNotFoundError:
            raise DatasetError(f"{path}: the file is missing") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None

    def read_frames(
        self, index: int, camera: str, rows: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Decode an episode's frames: (H, W, 3) uint8 RGB, those of `rows` (ascending) or all.

        Decoding starts at the key frame before each wanted frame. Raises DatasetError.
        """
        length = self._entry(index).length
        wanted = np.arange(length) if rows is None else np.asarray(rows, np.int64)
        if len(wanted) and (wanted[0] < 0 or wanted[-1] >= length or (np.diff(wanted) < 1).any()):
            raise DatasetError(
                f"expected ascending rows from 0 to {length - 1} of episode {index}, got {wanted}"
            )
        path = self.video_path(index, camera)
        span = VideoSpan(path, length, self.fps)
        try:
            for _, frame in read_video(span, wanted, count_all=False):
                yield frame.to_ndarray(format="rgb24")
        except VideoError as error:
            raise DatasetError(f"{path}: {error}") from error

    def rows_path(self, index: int) -> Path:
        """Path of an episode's parquet file."""
        return self.path / self._filled("data_path", index)

    def video_path(self, index: int, camera: str) -> Path:
        """Path of an episode's mp4 file. Raises DatasetError listing the existing cameras."""
        if camera not in self.cameras:
            has = ", ".join(self.cameras) or "none"
            raise DatasetError(f"{self.path} has no camera {camera!r}; it has: {has}")
        return self.recorded_path(index, self.video_key(camera))

    def video_key(self, camera: str) -> str:
        """Feature of info.json that holds a camera of modality.json."""
        return self.modality["video"][camera].get("original_key") or f"observation.images.{camera}"

    def recorded_path(self, index: int, video_key: str) -> Path:
        """Path of an episode's mp4 file of a feature, even one that modality.json leaves out."""
        return self.path / self._filled("video_path", index, video_key)

    def annotation_column(self, annotation: str) -> str:
        """Column that holds an annotation of modality.json."""
        described = self.modality.get("annotation", {}).get(annotation, {})
        return described.get("original_key") or f"annotation.{annotation}"

    def files(self) -> list[Path]:
        """List every file that belongs to the dataset."""
        meta = [path for path in (self.path / "meta").iterdir() if path.is_file()]
        rows = [self.rows_path(entry.index) for entry in self.episodes]
        videos = [
            self.video_path(e.index, camera) for camera in self.cameras for e in self.episodes
        ]
        return sorted(meta + rows + videos)

    def content_hash(self) -> str:
        """Hash the names and contents of all its files: SHA-256, in hex."""
        return combine_digests(
            {path.relative_to(self.path).as_posix(): file_digest(path) for path in self.files()}
        )

    def _entry(self, index: int) -> EpisodeEntry:
        if 0 <= index < len(self.episodes) and self.episodes[index].index == index:
            return self.episodes[index]  # its place in a complete dataset: no search
        for entry in self.episodes:
            if entry.index == index:
                return entry
        there = ", ".join(str(entry.index) for entry in self.episodes[:20])
        more = "" if len(self.episodes) <= 20 else f" … {self.episodes[-1].index}"
        raise DatasetError(f"{self.path} has no episode {index}; it has: {there}{more}")

    def _task_column(self) -> str:
        column = self.annotation_column(TASK_ANNOTATION)
        return column if column in self.info.get("features", {}) else "task_index"

    def _filled(self, key: str, index: int, video_key: str = "") -> str:
        try:
            chunk_size = int(self.info["chunks_size"])
            return episode_path(str(self.info[key]), index, video_key, chunk_size)
        except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
            raise DatasetError(
                f"{self.path}: meta/info.json: {key} or chunks_size cannot be used: {error!r}"
            ) from None


def _check_groups(path: Path, kind: str, groups: Mapping[str, slice], rows: np.ndarray) -> None:
    for name, part in groups.items():
        if not 0 <= part.start < part.stop <= rows.shape[1]:
            raise DatasetError(
                f"{path}: meta/modality.json: {kind}.{name} is {part.start}…{part.stop}, "
                f"expected a range within 0…{rows.shape[1]}"
            )


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    """Convert a column of numbers, or of lists of equal length, to (rows, width).

    Raises ValueError for any other column.
    """
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
    if column.null_count:
        raise ValueError(f"{name} has {column.null_count} null rows")
    rows, width = len(column), 1
    if hasattr(column, "value_lengths"):
        widths = np.unique(column.value_lengths())
        if len(widths) > 1:
            raise ValueError(f"{name} is {', '.join(map(str, widths))} wide, expected one width")
        column, width = column.flatten(), int(widths[0]) if rows else 0
    if not any(test(column.type) for test in _NUMBERS):
        raise ValueError(f"{name} holds {column.type}, expected numbers")
    return column.to_numpy(zero_copy_only=False).reshape(rows, width)
