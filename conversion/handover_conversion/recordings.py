"""Recordings of any kind, as the readers give them: episodes, their columns, cameras and words.

A reader's episode is small and can be sent to another process; what it names is read there. Each
kind of storage (parquet rows, mp4, images in rows, HDF5) brings a RowSource and FrameSources.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.features import Feature


class RowsError(DatasetError):
    """Unusable rows; `problems` are the reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class RowFormat:
    """What is read of every row of a dataset, and the form that it should have."""

    columns: tuple[str, ...]  # all must exist, read or not
    widths: Mapping[str, int]  # the columns of numbers that are read
    task_columns: tuple[str, ...]  # the columns of task indices that are read
    tasks: frozenset[int]  # the task indices that have a text
    time_column: str | None = "timestamp"


@dataclass(frozen=True)
class EpisodeRows:
    """The recorded steps of one episode."""

    columns: Mapping[str, np.ndarray]  # {name: (L, width)} float32 or float64
    time: np.ndarray | None  # (L,) float64 or int64, as measured, in the recorder's unit
    tasks: Mapping[str, np.ndarray]  # {column: (L,) int64} task indices


class RowSource(Protocol):
    """An episode's rows, wherever they are."""

    @property
    def path(self) -> Path: ...

    @property
    def length(self) -> int: ...

    def read(self, episode: int, expected: RowFormat) -> EpisodeRows:
        """Read and check the rows. Raises RowsError with everything that is wrong."""
        ...


class OpenFrames(Protocol):
    """Frames of one camera in one episode, counted."""

    @property
    def count(self) -> int: ...

    def read(self, rows: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the frames of ascending rows: (row, frame), each once. Raises VideoError."""
        ...


class FrameSource(Protocol):
    """One camera's frames of an episode, wherever they are."""

    @property
    def path(self) -> Path: ...

    def open(self) -> OpenFrames:
        """Look at the file, and count its frames. Raises VideoError."""
        ...


@dataclass(frozen=True)
class RecordedEpisode:
    """Location of one recorded episode: small, and all that reading it needs."""

    index: int
    rows: RowSource
    frames: Mapping[str, FrameSource]  # by the camera's key

    @property
    def length(self) -> int:
        return self.rows.length


@dataclass(frozen=True)
class SourceInfo:
    """What a source says of itself before its episodes are read."""

    root: Path
    version: str  # v2.0, v2.1, v3.0, or aloha_hdf5
    fps: float
    robot_type: str
    features: Mapping[str, Feature]
    info: Mapping[str, Any] = field(repr=False, default_factory=dict)
    modality: Mapping[str, Any] | None = field(repr=False, default=None)  # its modality.json

    @property
    def cameras(self) -> tuple[str, ...]:
        """The features that are cameras, by their keys."""
        return tuple(name for name, f in self.features.items() if f.dtype in ("video", "image"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The features that are columns of numbers or words."""
        return tuple(name for name in self.features if name not in self.cameras)


@dataclass(frozen=True)
class Recordings:
    """A source's episodes; `faults` are those that its metadata alone shows."""

    source: SourceInfo
    episodes: tuple[RecordedEpisode, ...]
    tasks: Mapping[int, str]
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        return self.source.root

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def chosen(self, indices: frozenset[int]) -> "Recordings":
        """Keep some episodes, with their faults and those of the whole dataset.

        Raises DatasetError listing the episodes when one is unknown.
        """
        known = [episode.index for episode in self.episodes]
        known += [fault.episode for fault in self.faults if fault.episode is not None]
        unknown = sorted(indices - set(known))
        if unknown:
            there = sorted(set(known))
            listed = ", ".join(map(str, there[:20])) + (f" … {there[-1]}" * (len(there) > 20))
            raise DatasetError(f"no episode {unknown[0]}; the source has: {listed} (--episodes)")
        return replace(
            self,
            episodes=tuple(episode for episode in self.episodes if episode.index in indices),
            faults=tuple(f for f in self.faults if f.episode is None or f.episode in indices),
        )
