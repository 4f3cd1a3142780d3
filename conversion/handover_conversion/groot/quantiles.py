"""Exact quantiles of many columns in three passes over the values, in memory that does not grow.

A float32's bits, with the sign turned round, order as the floats do. So the value of a rank is
found digit by digit, as in a radix sort: count the first 11 bits of every value, keep the digit in
which the rank falls, count the next 11 bits of the values that share it, then the last 10.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

Batches = Callable[[], Iterable[np.ndarray]]  # gives the same (n, columns) arrays at every call

_DIGITS = ((21, 11), (10, 11), (0, 10))  # (bits below, bits of the digit), from the top


class RankSearch:
    """Finds the values of some ranks in every column; all columns have `count` values."""

    passes = len(_DIGITS)

    def __init__(self, ranks: Sequence[int], columns: int) -> None:
        self._columns = columns
        self._prefix = np.zeros((len(ranks), columns), np.uint32)  # the bits that are known
        self._rank = np.repeat(np.asarray(ranks, np.int64)[:, None], columns, axis=1)
        self._step = 0
        self._counts = self._fresh_counts()

    def look(self, values: np.ndarray) -> None:
        """Count a batch of this pass: (n, columns), any float type, as float32."""
        keys = _ordered_bits(values)
        below, bits = _DIGITS[self._step]
        places = (keys >> below) & ((1 << bits) - 1)
        places = places.astype(np.int64) + (np.arange(self._columns) << bits)
        for rank, counts in enumerate(self._counts):
            if self._step == 0:
                chosen = places.reshape(-1)
            else:
                known = below + bits
                chosen = places[(keys >> known) == (self._prefix[rank] >> known)]
            counts += np.bincount(chosen, minlength=counts.size)
            if self._step == 0:
                self._counts[:] = counts  # nothing is known yet: the same for all ranks
                break

    def end_pass(self) -> None:
        """Settle this pass's digit of every rank."""
        below, bits = _DIGITS[self._step]
        table = self._counts.reshape(len(self._counts), self._columns, 1 << bits)
        up_to = table.cumsum(axis=2)
        digit = (up_to <= self._rank[..., None]).sum(axis=2)
        before = np.where(
            digit > 0,
            np.take_along_axis(up_to, np.maximum(digit - 1, 0)[..., None], axis=2)[..., 0],
            0,
        )
        self._rank = self._rank - before
        self._prefix |= (digit << below).astype(np.uint32)
        self._step += 1
        if self._step < len(_DIGITS):
            self._counts = self._fresh_counts()

    def values(self) -> np.ndarray:
        """Give the values of the ranks, after the last pass: (ranks, columns) float32."""
        return _from_ordered_bits(self._prefix)

    def _fresh_counts(self) -> np.ndarray:
        width = self._columns << _DIGITS[self._step][1]
        return np.zeros((len(self._rank), width), np.int64)


def quantile_ranks(count: int, quantiles: Sequence[float]) -> tuple[list[int], np.ndarray]:
    """Name the ranks around each quantile (low, high, low, high …) and the weight of the higher.

    As numpy's method "linear": the quantile q of n values lies at q·(n − 1).
    """
    places = np.asarray(quantiles, np.float64) * (count - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, count - 1)
    return np.stack([low, high], axis=1).reshape(-1).tolist(), places - low


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    bits = (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32)  # + 0: no −0
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _from_ordered_bits(keys: np.ndarray) -> np.ndarray:
    bits = np.where(keys >> 31, keys & np.uint32((1 << 31) - 1), ~keys)
    return bits.astype(np.uint32).view(np.float32)
