"""A file of snapshots: what was seen in one episode, and what an expert would do from there."""

from pathlib import Path

import numpy as np
from handover_envs.experts import POLICY_RATE_HZ
from handover_envs.simulator import AlohaSimulator, TaskName

from handover_training.aloha_mini.data.draw import CHUNK_STEPS

TASK_ORDER: tuple[TaskName, ...] = ("transfer_cube", "insertion")
FRAME_SIDE = 256
CHUNK_TIMES_S = np.arange(CHUNK_STEPS) / POLICY_RATE_HZ
NO_CHUNK = np.full((CHUNK_STEPS, 14), np.nan)


class SnapshotWriter:
    """The snapshots of one episode so far."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.states: list[np.ndarray] = []
        self.chunks: list[np.ndarray] = []
        self.poses: list[np.ndarray] = []

    def take(self, simulator: AlohaSimulator, chunk: np.ndarray) -> None:
        """Draw what there is now; chunk: (16, 14), NaN where there is none."""
        self.keep(simulator.render(FRAME_SIDE), simulator, chunk)

    def keep(self, frame: np.ndarray, simulator: AlohaSimulator, chunk: np.ndarray) -> None:
        """Take a picture that is drawn already: (256, 256, 3) uint8."""
        self.frames.append(frame)
        self.states.append(simulator.state)
        self.chunks.append(chunk)
        self.poses.append(simulator.object_poses)

    def write(self, target: Path, task: TaskName, seed: int) -> None:
        """Write the file; it is there whole or not at all."""
        partial = target.with_name(f".{target.name}.partial")
        with partial.open("wb") as file:
            np.savez(
                file,
                task=np.array(TASK_ORDER.index(task)),
                seed=np.array(seed),
                frames=np.stack(self.frames),
                states=np.stack(self.states).astype(np.float32),
                chunks=np.stack(self.chunks).astype(np.float32),
                poses=np.stack(self.poses).astype(np.float32),
            )
        partial.replace(target)
