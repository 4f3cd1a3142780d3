"""Trivial baselines: hold the current state, and the leave-one-out mean trajectory.

A policy that does not beat both has learned nothing from its cameras.
"""

from collections.abc import Iterable, Sequence

import numpy as np

HOLD = "hold"
MEAN_TRAJECTORY = "mean_trajectory"
TITLES = {HOLD: "hold the state", MEAN_TRAJECTORY: "mean of others"}


def hold_state(state: np.ndarray, inference_steps: Sequence[int], steps: int) -> np.ndarray:
    """Hold, for each chunk, the state that it was predicted from: (L, D) -> (steps, D)."""
    starts = np.asarray(inference_steps)
    chunk_of_step = np.searchsorted(starts, np.arange(steps), side="right") - 1
    return state[starts[chunk_of_step]]


class MeanTrajectory:
    """The mean action of each step over a dataset's episodes, leaving one out at a time.

    An episode counts at the steps that it has; after the end of the longest other one, the last
    mean is held. Only sums are kept, so that the dataset may be of any size.
    """

    def __init__(self, episodes: Iterable[np.ndarray], steps: int) -> None:
        """Sum up the actions (L, D) of every episode of the dataset, to `steps` steps."""
        self._sums: np.ndarray | None = None
        self._counts = np.zeros(steps, np.int64)  # episodes that have each step
        for action in episodes:
            if self._sums is None:
                self._sums = np.zeros((steps, action.shape[1]))
            length = min(steps, len(action))
            self._sums[:length] += action[:length]
            self._counts[:length] += 1

    def without(self, action: np.ndarray) -> np.ndarray | None:
        """Average the episodes other than the one with this action (L, D): (T, D), T <= steps.

        None when there is no other episode.
        """
        steps = min(len(self._counts), len(action))
        if self._sums is None or steps == 0 or self._counts[0] < 2:
            return None
        counts = self._counts[:steps] - 1
        last = int(np.flatnonzero(counts)[-1])
        sums = self._sums[: last + 1] - action[: last + 1]
        means = sums / counts[: last + 1, None]
        return means[np.minimum(np.arange(steps), last)].astype(np.float32)
