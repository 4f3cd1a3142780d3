"""What open-loop evaluation needs of a dataset. `handover_conversion.groot.dataset` fits it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class EpisodeEntry(Protocol):
    """One line of the dataset's list of episodes."""

    @property
    def index(self) -> int:
        """The episode's number."""
        ...

    @property
    def length(self) -> int:
        """Steps of the episode."""
        ...


class Episode(Protocol):
    """One episode's rows, one for each step."""

    @property
    def state(self) -> np.ndarray:
        """(L, state width) float32."""
        ...

    @property
    def action(self) -> np.ndarray:
        """(L, action width) float32: what the demonstrator commanded."""
        ...

    def task_at(self, row: int) -> str:
        """Give the instruction in force at a row."""
        ...


class Recordings(Protocol):
    """A dataset of demonstrations with named groups of state and action values."""

    @property
    def path(self) -> Path:
        """Its folder."""
        ...

    @property
    def fps(self) -> float:
        """Steps per second."""
        ...

    @property
    def episodes(self) -> Sequence[EpisodeEntry]:
        """Its episodes, in order."""
        ...

    @property
    def cameras(self) -> Sequence[str]:
        """Its cameras' names."""
        ...

    @property
    def state_groups(self) -> Mapping[str, slice]:
        """Columns of each state group."""
        ...

    @property
    def action_groups(self) -> Mapping[str, slice]:
        """Columns of each action group."""
        ...

    def read_episode(self, index: int) -> Episode:
        """Read one episode's rows."""
        ...

    def read_frames(
        self, index: int, camera: str, rows: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Decode frames: (H, W, 3) uint8 RGB, those of `rows` (ascending)."""
        ...

    def content_hash(self) -> str:
        """Hash everything in it."""
        ...
