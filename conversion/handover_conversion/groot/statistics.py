"""The normalisation statistics of a GR00T dataset, streamed: episode by episode, in flat memory.

mean and std are accumulated in float64 (Chan's parallel update), min, max, q01 and q99 are exact:
all equal numpy's over the whole array to float32's precision.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from handover_conversion.groot.quantiles import Batches, RankSearch, quantile_ranks

QUANTILES = {"q01": 0.01, "q99": 0.99}
_BATCH_ROWS = 1024  # episodes are counted together up to this many rows


class Moments:
    """Mean, spread and range of columns, one batch after another."""

    def __init__(self, columns: int) -> None:
        self.count = 0
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)  # sum of squared distances from the mean
        self._min = np.full(columns, np.inf)
        self._max = np.full(columns, -np.inf)

    def look(self, values: np.ndarray) -> None:
        """Take in a batch: (n, columns), n > 0."""
        values = np.asarray(values, np.float64)
        new, count = len(values), self.count + len(values)
        mean = values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        apart = mean - self._mean
        self._squares += squares + apart**2 * (self.count * new / count)
        self._mean += apart * (new / count)
        self._min = np.minimum(self._min, values.min(axis=0))
        self._max = np.maximum(self._max, values.max(axis=0))
        self.count = count

    def describe(self) -> dict[str, np.ndarray]:
        """Give mean, std (of the population), min and max: (columns,) float32 each."""
        spread = np.sqrt(self._squares / self.count)
        named = {"mean": self._mean, "std": spread, "min": self._min, "max": self._max}
        return {name: values.astype(np.float32) for name, values in named.items()}


def describe(batches: Batches, count: int, columns: int) -> dict[str, np.ndarray]:
    """Describe `count` rows of `columns` values: mean, std, min, max, q01, q99, (columns,) float32.

    `batches` is called once for each pass. Raises ValueError when it gives another number of rows.
    """
    ranks, weight = quantile_ranks(count, list(QUANTILES.values()))
    moments, search = Moments(columns), RankSearch(ranks, columns)
    for step in range(search.passes):
        for values in _joined(batches()):
            if step == 0:
                moments.look(values)
            search.look(values)
        search.end_pass()
    if moments.count != count:
        raise ValueError(f"expected {count} rows, got {moments.count}")
    found = search.values().astype(np.float64)
    low, high = found[0::2], found[1::2]
    quantiles = (low + (high - low) * weight[:, None]).astype(np.float32)
    return moments.describe() | dict(zip(QUANTILES, quantiles, strict=True))


def relative_windows(action: np.ndarray, state: np.ndarray, horizon: int) -> np.ndarray:
    """Lay each full window of actions relative to the state it starts from.

    (L, D) twice -> (L − horizon + 1, horizon, D) float64; none where the episode is shorter.
    """
    windows = max(0, len(action) - horizon + 1)
    steps = np.arange(windows)[:, None] + np.arange(horizon)
    return action[steps].astype(np.float64) - state[:windows, None].astype(np.float64)


def describe_columns(
    read: Callable[[], Iterable[Mapping[str, np.ndarray]]], widths: Mapping[str, int], count: int
) -> dict[str, dict[str, list[float]]]:
    """Describe float columns for stats.json; `read` gives each episode's {column: (L, width)}."""
    edges = np.cumsum([0, *widths.values()])

    def batches() -> Iterator[np.ndarray]:
        for columns in read():
            yield np.concatenate([columns[name] for name in widths], axis=1)

    described = describe(batches, count, int(edges[-1]))
    return {
        name: {key: values[start:stop].tolist() for key, values in described.items()}
        for name, start, stop in zip(widths, edges[:-1], edges[1:], strict=True)
    }


def describe_relative(
    read: Callable[[], Iterable[Mapping[str, tuple[np.ndarray, np.ndarray]]]],
    widths: Mapping[str, int],
    count: int,
    horizon: int,
) -> dict[str, dict[str, list[list[float]]]]:
    """Describe relative actions for relative_stats.json, each step of the horizon by itself.

    `read` gives each episode's {group: (action (L, dim), state (L, dim))}, `count` is the number of
    full windows in all.
    """
    if not widths:
        return {}
    edges = np.cumsum([0, *widths.values()])

    def batches() -> Iterator[np.ndarray]:
        for groups in read():
            windows = [relative_windows(*groups[group], horizon) for group in widths]
            if len(windows[0]):
                yield np.concatenate(windows, axis=2).reshape(len(windows[0]), -1)

    described = {
        key: values.reshape(horizon, int(edges[-1]))
        for key, values in describe(batches, count, horizon * int(edges[-1])).items()
    }
    return {
        name: {key: values[:, start:stop].tolist() for key, values in described.items()}
        for name, start, stop in zip(widths, edges[:-1], edges[1:], strict=True)
    }


def _joined(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Put small batches together: counting has a cost per batch."""
    waiting: list[np.ndarray] = []
    for values in batches:
        waiting.append(values)
        if sum(map(len, waiting)) >= _BATCH_ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
