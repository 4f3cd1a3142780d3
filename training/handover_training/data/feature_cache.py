"""Cache of frozen features: what the frozen part of the backbone makes of a window, once per view.

One file per episode and view, memory-mapped by all workers: the state of every token after the
frozen language layers. A file appears whole or not at all, in a folder whose name stands for all
that decides its content.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from handover_common import atomic_path, track
from torch import Tensor

from handover_training.errors import TrainingError

# what numpy lacks is kept as integers of the same size
_STORED_AS = {torch.bfloat16: torch.int16}
_ROOM = 1.1  # of the disk that the files need


@dataclass(frozen=True)
class FeatureCache:
    """The features of one dataset's windows."""

    folder: Path
    dtype: torch.dtype
    _open: dict[Path, np.ndarray] = field(default_factory=dict)

    def path(self, episode: int, view: int) -> Path:
        """Return the path of an episode's file."""
        return self.folder / f"episode_{episode:06d}-view{view}.npy"

    def read(self, episode: int, view: int, row: int, tokens: int) -> Tensor:
        """Read a window's features: (tokens, hidden); padding on the left is cut off."""
        path = self.path(episode, view)
        if path not in self._open:
            self._open[path] = np.load(path, mmap_mode="r", allow_pickle=False)
        numbers = torch.from_numpy(np.array(self._open[path][row, -tokens:]))
        return numbers.view(self.dtype) if self.dtype in _STORED_AS else numbers

    def write(self, episode: int, view: int, features: Tensor) -> None:
        """Write an episode's features: (rows, S, hidden), left-padded."""
        stored = _STORED_AS.get(self.dtype)
        features = features if stored is None else features.view(stored)
        path = self.path(episode, view)
        try:
            with atomic_path(path) as partial, partial.open("wb") as file:
                np.save(file, features.numpy(), allow_pickle=False)
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written: {error}; name a folder with more room (--cache-dir), "
                "or compute features at every step (--no-cache-features)"
            ) from error


@dataclass(frozen=True)
class FeatureJob:
    """An episode of a dataset in one view."""

    recording: int
    """Its place among the recordings"""
    view: int
    cache: FeatureCache
    episode: int
    rows: int

    @property
    def is_done(self) -> bool:
        """Whether its file is there."""
        return self.cache.path(self.episode, self.view).is_file()


def fill(jobs: Sequence[FeatureJob], compute: Callable[[FeatureJob], Tensor]) -> None:
    """Compute the features that are missing; an interrupted fill continues where it stopped.

    compute: returns a job's (rows, S, hidden). Raises TrainingError where the disk is too small.
    """
    missing = [job for job in jobs if not job.is_done]
    checked = False
    for job in track(missing, "features", "episodes", total=len(missing)):
        features = compute(job)
        if not checked:
            _check_room(job, features, missing)
            checked = True
        job.cache.write(job.episode, job.view, features)


def _check_room(job: FeatureJob, features: Tensor, missing: Sequence[FeatureJob]) -> None:
    per_row = features[0].numel() * features.element_size()
    needed = _ROOM * per_row * sum(one.rows for one in missing)
    free = shutil.disk_usage(job.cache.folder.parent).free  # it holds the decoded frames
    if needed > free:
        raise TrainingError(
            f"frozen features need {needed / 1e9:.2g} GB, {job.cache.folder} has "
            f"{free / 1e9:.2g} GB free; name another folder (--cache-dir), keep fewer views "
            "(--image-views), or compute them at every step (--no-cache-features)"
        )
