"""Snapshots of simulated episodes in memory, as `handover_training.aloha_mini.data.draw` wrote them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from handover_model.processing import ImageOptions, prepare_frame

from handover_training.errors import TrainingError

TASK_TEXTS = (
    "Pick up the cube with the right arm and transfer it to the left arm.",
    "Insert the peg into the socket.",
)
OBJECTS = 3  # cube, peg, socket
_OBJECTS_OF_TASK = (slice(0, 1), slice(1, 3))


@dataclass(frozen=True)
class Snapshots:
    """N snapshots, prepared for the network."""

    frames: np.ndarray
    """(N, H, W, 3) uint8, cropped and scaled"""
    states: np.ndarray
    """(N, 14) float32"""
    chunks: np.ndarray
    """(N, 16, 14) float32, absolute targets; NaN where there are none"""
    places: np.ndarray
    """(N, 3, 3) float32, m: where cube, peg and socket are; NaN for those of the other task"""
    tasks: np.ndarray
    """(N,) int64, of TASK_TEXTS"""
    seeds: np.ndarray
    """(N,) int64, of the episodes"""

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, chosen: np.ndarray) -> "Snapshots":
        return Snapshots(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def have_chunks(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray(np.isfinite(self.chunks).all(axis=(1, 2)))


def snapshot_files(folders: Sequence[Path]) -> list[Path]:
    """List the files of all folders; raises TrainingError where a folder has none."""
    files = []
    for folder in folders:
        here = sorted(folder.glob("*.npz"))
        if not here:
            raise TrainingError(
                f"{folder} holds no snapshots, expected files SEED.npz; make some with "
                f"python -m handover_training.aloha_mini.data.draw --output {folder}"
            )
        files += here
    return files


def load_snapshots(path: Path, options: ImageOptions, side: int) -> Snapshots:
    """Read one episode's snapshots; side: image sides become multiples of it."""
    with np.load(path, allow_pickle=False) as file:
        task, poses = int(file["task"]), file["poses"]
        frames = [prepare_frame(frame, options, side) for frame in file["frames"]]
        places = np.full((len(frames), OBJECTS, 3), np.nan, np.float32)
        places[:, _OBJECTS_OF_TASK[task]] = poses[..., :3]
        return Snapshots(
            np.stack(frames),
            file["states"],
            file["chunks"],
            places,
            np.full(len(frames), task),
            np.full(len(frames), int(path.stem)),
        )


def join(parts: Sequence[Snapshots]) -> Snapshots:
    """Put snapshots behind each other."""
    return Snapshots(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Snapshots))
    )
