"""Snapshot files, one .npz per simulated episode: written by the simulator, read in training.

A snapshot is one moment of an episode: the image and the objects' poses, and no action. The
simulator's environment has no torch and the training's no MuJoCo, so this module needs neither.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from handover_common import atomic_path
from handover_envs.tasks import TaskName, find_task

from handover_training.aloha_mini.configs import SnapshotsConfig
from handover_training.errors import TrainingError

if TYPE_CHECKING:
    from handover_envs.simulator import AlohaSimulator

TASK_ORDER: tuple[TaskName, ...] = ("transfer_cube", "insertion")  # of even and of odd seeds
TASK_TEXTS = tuple(find_task(task).text for task in TASK_ORDER)
OBJECTS = 3  # cube, peg, socket
_OBJECTS_OF_TASK = (slice(0, 1), slice(1, 3))

FRAME_SIDE = 256


def task_of(seed: int) -> TaskName:
    """Return an episode's task: even seeds are cube transfers, odd ones insertions."""
    return TASK_ORDER[seed % len(TASK_ORDER)]


class SnapshotWriter:
    """The snapshots of one episode so far."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.poses: list[np.ndarray] = []

    def take(self, simulator: "AlohaSimulator") -> None:
        """Draw the present moment."""
        self.frames.append(simulator.render(FRAME_SIDE))
        self.poses.append(simulator.object_poses)

    def write(self, folder: Path, seed: int) -> None:
        """Write the episode's file; it is there whole or not at all."""
        with atomic_path(_path(folder, seed)) as partial, partial.open("wb") as file:
            np.savez(
                file,
                task=np.array(TASK_ORDER.index(task_of(seed))),
                seed=np.array(seed),
                frames=np.stack(self.frames),
                poses=np.stack(self.poses).astype(np.float32),
            )


@dataclass(frozen=True)
class Snapshots:
    """N snapshots in memory, prepared for the network."""

    frames: np.ndarray
    """(N, H, W, 3) uint8, cropped and scaled"""
    places: np.ndarray
    """(N, 3, 3) float32, m: where cube, peg and socket are; NaN for those of the other task"""
    tasks: np.ndarray
    """(N,) int64, of TASK_ORDER"""
    seeds: np.ndarray
    """(N,) int64, of the episodes"""

    def __len__(self) -> int:
        return len(self.tasks)


def missing_seeds(config: SnapshotsConfig) -> Iterator[int]:
    """Go through the seeds whose files are not there yet; makes the folder."""
    config.output.mkdir(parents=True, exist_ok=True)
    for number in range(config.episodes):
        seed = config.seed + number * config.seed_step
        if not _path(config.output, seed).exists():
            yield seed


def snapshot_files(folders: Sequence[Path]) -> list[Path]:
    """List the files of all folders; raises TrainingError where a folder has none."""
    files = []
    for folder in folders:
        here = sorted(folder.glob("*.npz"))
        if not here:
            raise TrainingError(
                f"{folder} holds no snapshots, expected files SEED.npz; make some with "
                f"python -m handover_training.aloha_mini snapshots --output {folder}"
            )
        files += here
    return files


def load_snapshots(path: Path, prepare: Callable[[np.ndarray], np.ndarray]) -> Snapshots:
    """Read one episode's snapshots; prepare: crops and scales a frame."""
    with np.load(path, allow_pickle=False) as file:
        task, poses = int(file["task"]), file["poses"]
        frames = [prepare(frame) for frame in file["frames"]]
        places = np.full((len(frames), OBJECTS, 3), np.nan, np.float32)
        places[:, _OBJECTS_OF_TASK[task]] = poses[..., :3]
        return Snapshots(
            np.stack(frames),
            places,
            np.full(len(frames), task),
            np.full(len(frames), int(path.stem)),
        )


def join(parts: Sequence[Snapshots]) -> Snapshots:
    """Concatenate snapshots."""
    return Snapshots(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Snapshots))
    )


def _path(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"
