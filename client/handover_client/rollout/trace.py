"""Trace of an episode: targets, measured joints and rewards of every control step."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from handover_common import atomic_path
from handover_proto import ALOHA_JOINTS


@dataclass
class EpisodeTrace:
    """Three values per control step, in the order in which they came about."""

    measured: list[np.ndarray] = field(default_factory=list)  # (14,) joints before the step
    targets: list[np.ndarray] = field(default_factory=list)  # (14,) as they were played
    rewards: list[int] = field(default_factory=list)  # after the step

    def add(self, measured: np.ndarray, target: np.ndarray, reward: int) -> None:
        """Append one control step."""
        self.measured.append(measured)
        self.targets.append(target)
        self.rewards.append(reward)

    def target_array(self) -> np.ndarray:
        """Targets: (steps, 14) float32, rad, grippers 0 … 1."""
        return _joints(self.targets)

    def save(self, path: Path) -> None:
        """Write an npz of measured and targets, (steps, 14) float32, and rewards, (steps,) int8."""
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                measured=_joints(self.measured),
                targets=_joints(self.targets),
                rewards=np.array(self.rewards, np.int8),
            )

    @classmethod
    def load(cls, path: Path) -> "EpisodeTrace":
        """Read such a file. Raises OSError, ValueError or KeyError for any other."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                list(arrays["measured"]), list(arrays["targets"]), arrays["rewards"].tolist()
            )


def _joints(rows: list[np.ndarray]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, len(ALOHA_JOINTS))
