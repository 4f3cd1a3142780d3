"""Batch plan: a step's windows and its random numbers, as pure functions of the seed.

Nothing is drawn from a running stream. So a resumed run continues exactly as it would have, and the
global batch is the same however many processes share it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

# purposes of random numbers: a seed, one of these and a place give a generator of their own
SHUFFLE, AUGMENTATION, FLOW, DROPOUT, DELAY, MIX, VIEW, STATE = range(8)


@dataclass(frozen=True)
class BatchSlot:
    """One place in one step's global batch, and the window trained on there."""

    step: int
    slot: int
    window: int


def generator(seed: int, purpose: int, *place: int) -> np.random.Generator:
    """Make the generator of one purpose at one place; the same arguments, the same numbers."""
    return np.random.default_rng([seed, purpose, *place])


@dataclass(frozen=True)
class Mixture:
    """Datasets' shares of the samples, instead of their numbers of windows."""

    shares: tuple[float, ...]
    """Of each dataset; their sum is 1"""
    windows: tuple[int, ...]
    """Of each dataset; they are numbered consecutively"""

    def draw(self, generator: np.random.Generator) -> int:
        """Draw a dataset by its share, then one of its windows."""
        dataset = int(generator.choice(len(self.shares), p=self.shares))
        return sum(self.windows[:dataset]) + int(generator.integers(self.windows[dataset]))


class BatchPlan:
    """The windows of every step: shuffled anew for each pass over them, or drawn by a mixture."""

    def __init__(self, windows: int, batch: int, seed: int, mixture: Mixture | None = None) -> None:
        """Plan steps of `batch` windows each, out of `windows`."""
        self._windows, self._batch, self._seed = windows, batch, seed
        self._mixture = mixture
        self._orders: dict[int, np.ndarray] = {}

    def step(self, step: int) -> list[BatchSlot]:
        """Return a step's global batch."""
        return [
            BatchSlot(step, slot, self._window(step * self._batch + slot))
            for slot in range(self._batch)
        ]

    def _window(self, number: int) -> int:
        if self._mixture is not None:
            return self._mixture.draw(generator(self._seed, MIX, number))
        turn, place = divmod(number, self._windows)
        if turn not in self._orders:
            self._orders = {old: order for old, order in self._orders.items() if old == turn - 1}
            draw = generator(self._seed, SHUFFLE, turn)
            self._orders[turn] = draw.permutation(self._windows)
        return int(self._orders[turn][place])


class ProcessBatches(Sampler[list[BatchSlot]]):
    """One process's micro-batches, step after step, from `start` to the last step.

    Its length is that of the whole run, also when it starts later: the trainer reads a run's
    length from it.
    """

    def __init__(
        self, plan: BatchPlan, *, batch: int, accumulation: int, rank: int, world: int, steps: int
    ) -> None:
        """Share a global batch of batch x accumulation x world windows."""
        self._plan, self.batch, self._accumulation = plan, batch, accumulation
        self._rank, self._world, self._steps = rank, world, steps
        self.start = 0

    def __len__(self) -> int:
        return self._steps * self._accumulation

    def __iter__(self) -> Iterator[list[BatchSlot]]:
        for step in range(self.start, self._steps):
            slots = self._plan.step(step)
            for turn in range(self._accumulation):
                first = (turn * self._world + self._rank) * self.batch
                yield slots[first : first + self.batch]
