"""GrootDataset: the reader of a GR00T dataset's episodes, rows and frames, as people have them.

LeRobot's layouts 2.0, 2.1 and 3.0 with meta/modality.json; without one, as LeRobot describes it.
Needs only numpy, pyarrow and av.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handover_conversion.errors import DatasetError
from handover_conversion.features import frame_size
from handover_conversion.findings import EMPTY_INSTRUCTION, Finding
from handover_conversion.groot import rows as episode_rows
from handover_conversion.groot.hashing import combine_digests, file_digest
from handover_conversion.groot.instructions import Instructions
from handover_conversion.groot.layout import Layout, open_layout
from handover_conversion.groot.metadata import (
    ACTION,
    STATE,
    EpisodeEntry,
    GroupColumns,
    plain_modality,
    read_features,
    read_fps,
    read_groups,
    read_modality,
    read_tasks,
)
from handover_conversion.lerobot.v3 import read_tasks as read_tasks_table
from handover_conversion.locations import regular_file
from handover_conversion.metadata_files import read_json
from handover_conversion.video.decode import VideoError, VideoSpan, read_video


@dataclass(frozen=True)
class Episode:
    """One episode's rows."""

    state: np.ndarray  # (L, D) float32
    action: np.ndarray  # (L, D) float32
    timestamp: np.ndarray  # (L,) float32, s
    tasks: tuple[str, ...]  # the instruction in force at each row

    def __len__(self) -> int:
        return len(self.state)

    def task_at(self, row: int) -> str:
        """Return the instruction at a row."""
        return self.tasks[row]


@dataclass(frozen=True)
class GrootDataset:
    """A dataset in a layout of LeRobot's, with modality.json as NVIDIA's N1.6 loader reads it."""

    path: Path
    fps: float
    cameras: tuple[str, ...]
    state_columns: GroupColumns
    action_columns: GroupColumns
    conversion: dict[str, Any] | None  # how it was made: conversion.json, where there is one
    info: dict[str, Any] = field(repr=False)
    modality: dict[str, Any] = field(repr=False)
    instructions: Instructions = field(repr=False)
    layout: Layout = field(repr=False)

    @classmethod
    def open(
        cls, path: Path | str, *, plain: bool = False, faults: list[Finding] | None = None
    ) -> "GrootDataset":
        """Read the dataset's metadata. Raises DatasetError.

        plain: a LeRobot dataset without modality.json too, each of its columns a group
        faults: collects what is wrong with single episodes and tasks, which are left out, instead
        """
        path = Path(path)
        info = read_json(path, "meta/info.json")
        fps, features = read_fps(path, info), read_features(path, info)
        described = not plain or os.path.lexists(path / "meta/modality.json")
        modality = read_modality(path) if described else plain_modality(features)
        state = read_groups(path, modality, "state", STATE)
        action = read_groups(path, modality, "action", ACTION)
        layout = open_layout(path, info, faults)
        has_table = not (path / "meta/tasks.jsonl").exists()
        by_table = has_table and (path / "meta/tasks.parquet").exists()
        tasks = read_tasks_table(path)[0] if by_table else read_tasks(path, faults)
        has_record = (path / "meta/conversion.json").is_file()
        return cls(
            path=path,
            fps=fps,
            cameras=tuple(modality["video"]),
            state_columns=state,
            action_columns=action,
            conversion=read_json(path, "meta/conversion.json") if has_record else None,
            info=info,
            modality=modality,
            instructions=Instructions(path, modality["annotation"], tasks, layout),
            layout=layout,
        )

    @property
    def episodes(self) -> tuple[EpisodeEntry, ...]:
        """The episodes, in the order of the dataset's list."""
        return self.layout.episodes

    @property
    def tasks(self) -> dict[int, str]:
        """The texts that instructions are indices of."""
        return self.instructions.texts

    @property
    def state_groups(self) -> dict[str, slice]:
        """The slots of Episode.state by group."""
        return self.state_columns.groups

    @property
    def action_groups(self) -> dict[str, slice]:
        """The slots of Episode.action by group."""
        return self.action_columns.groups

    def read_episode(self, index: int, language_key: str | None = None) -> Episode:
        """Read one episode's rows. Raises DatasetError; for an unknown index it lists the known.

        language_key: the modality config's, whose column has the instruction; by default the
        dataset's own (see Instructions).
        """
        entry = self.entry(index)
        state, action = self.state_columns, self.action_columns
        names = [*state.columns, *action.columns]
        has_time = "timestamp" in self.column_names(index)
        columns = self.read_columns(index, [*names, *["timestamp"] * has_time])
        length = max(map(len, columns.values()), default=0)
        if length != entry.length:
            raise DatasetError(
                f"{self.rows_path(index)} has {length} rows, the list of episodes says "
                f"{entry.length}"
            )
        for kind, groups in (("state", state), ("action", action)):
            for problem in groups.problems(columns):
                raise DatasetError(f"{self.path}: meta/modality.json: {kind}.{problem}")
        times = columns["timestamp"][:, 0] if has_time else np.arange(length) / self.fps
        return Episode(
            state=state.join(columns),
            action=action.join(columns),
            timestamp=times.astype(np.float32),
            tasks=self.instructions.read(entry, language_key),
        )

    def check_instructions(self, index: int, language_key: str | None = None) -> None:
        """Raise DatasetError for an episode in which an instruction is missing or empty."""
        for step, text in enumerate(self.instructions.read(self.entry(index), language_key)):
            if not text.strip():
                raise DatasetError(f"episode {index}, step {step}: {EMPTY_INSTRUCTION}")

    def read_columns(self, index: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Read an episode's columns as they are stored: {name: (L, width)}. Raises DatasetError."""
        self.entry(index)
        table = episode_rows.read_table(self.path, self.layout.rows(index), index, names)
        return episode_rows.numbers(self.rows_path(index), table, names)

    def column_names(self, index: int) -> list[str]:
        """List the columns that an episode's file has. Raises DatasetError."""
        return episode_rows.column_names(self.path, self.layout.rows(index))

    def read_frames(
        self, index: int, camera: str, rows: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Decode an episode's frames: (H, W, 3) uint8 RGB, those of `rows` (ascending) or all.

        Decoding starts at the key frame before each wanted frame. Raises DatasetError.
        """
        length = self.entry(index).length
        wanted = np.arange(length) if rows is None else np.asarray(rows, np.int64)
        if len(wanted) and (wanted[0] < 0 or wanted[-1] >= length or (np.diff(wanted) < 1).any()):
            raise DatasetError(
                f"expected ascending rows from 0 to {length - 1} of episode {index}, got {wanted}"
            )
        self._check_camera(camera)
        if self.is_in_rows(camera):
            yield from self._images(index, camera, wanted)
            return
        span = self.video_span(index, camera)
        try:
            for _, frame in read_video(span, wanted, count_all=False):
                yield frame.to_ndarray(format="rgb24")
        except VideoError as error:
            raise DatasetError(f"{span.path}: {error}") from error

    def _images(self, index: int, camera: str, wanted: np.ndarray) -> Iterator[np.ndarray]:
        place, key = self.layout.rows(index), self.video_key(camera)
        table = episode_rows.read_table(self.path, place, index, [key], keep=False)
        if len(wanted) and table.num_rows <= wanted[-1]:
            raise DatasetError(f"{self.path / place.name} has {table.num_rows} rows of {key}")
        rows = [int(row) for row in wanted]
        yield from episode_rows.images(self.path, self.path / place.name, table, key, rows)

    def is_in_rows(self, camera: str) -> bool:
        """Whether a camera's frames are images in the rows, and not a video."""
        described = self.info["features"].get(self.video_key(camera), {})
        return described.get("dtype") == "image"

    def video_span(self, index: int, camera: str) -> VideoSpan:
        """Return an episode's part of a camera's video file. Raises DatasetError."""
        self._check_camera(camera)
        place = self.layout.video(index, self.video_key(camera))
        return VideoSpan(
            path=regular_file(self.path, place.name),
            length=self.entry(index).length,
            fps=self.fps,
            from_s=place.from_s,
            shared=place.shared,
        )

    def frame_size(self, camera: str) -> tuple[int, int] | None:
        """Return a camera's (height, width) by info.json; None where it does not tell."""
        return frame_size(self.info["features"].get(self.video_key(camera), {}))

    def rows_path(self, index: int) -> Path:
        """Path of an episode's parquet file."""
        return self.path / self.layout.rows(index).name

    def video_path(self, index: int, camera: str) -> Path:
        """Path of an episode's mp4 file. Raises DatasetError listing the existing cameras."""
        self._check_camera(camera)
        return self.path / self.layout.video(index, self.video_key(camera)).name

    def video_key(self, camera: str) -> str:
        """Feature of info.json that holds a camera of modality.json."""
        return self.modality["video"][camera].get("original_key") or f"observation.images.{camera}"

    def files(self) -> list[Path]:
        """List every file that belongs to the dataset. Raises DatasetError."""
        found = {path for path in (self.path / "meta").rglob("*") if path.is_file()}
        found |= {self.rows_path(entry.index) for entry in self.episodes}
        for camera in self.cameras:
            if not self.is_in_rows(camera):
                found |= {self.video_path(entry.index, camera) for entry in self.episodes}
        return sorted(found)

    def content_hash(self) -> str:
        """Hash the names and contents of all its files: SHA-256, in hex."""
        return combine_digests(
            {path.relative_to(self.path).as_posix(): file_digest(path) for path in self.files()}
        )

    def _check_camera(self, camera: str) -> None:
        if camera not in self.cameras:
            has = ", ".join(self.cameras) or "none"
            raise DatasetError(f"{self.path} has no camera {camera!r}; it has: {has}")

    def entry(self, index: int) -> EpisodeEntry:
        """Return an episode's entry of the list. Raises DatasetError listing the known ones."""
        if 0 <= index < len(self.episodes) and self.episodes[index].index == index:
            return self.episodes[index]  # its place in a complete dataset: no search
        for entry in self.episodes:
            if entry.index == index:
                return entry
        there = ", ".join(str(entry.index) for entry in self.episodes[:20])
        more = "" if len(self.episodes) <= 20 else f" … {self.episodes[-1].index}"
        raise DatasetError(f"{self.path} has no episode {index}; it has: {there}{more}")
