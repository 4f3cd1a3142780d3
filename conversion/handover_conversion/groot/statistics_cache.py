"""Statistics that a run normalizes with: the dataset's own where they fit its rows, else computed.

Computed ones are kept in a folder by the content hash of the dataset: what is kept for one content
is never taken for another.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import write_json

from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import (
    float_statistics,
    group_columns,
    relative_statistics,
)
from handover_conversion.metadata_files import read_json

logger = logging.getLogger(__name__)

STATISTICS = ("mean", "std", "min", "max", "q01", "q99")
_TOLERANCE = 1e-4  # of a column's range: other tools' float32 sums are off by at most that
_STATS, _RELATIVE = "meta/stats.json", "meta/relative_stats.json"


class StatisticsCache:
    """Statistics of one dataset, of which the computed ones are kept in a folder."""

    def __init__(self, dataset: GrootDataset, content_hash: str, folder: Path) -> None:
        self._dataset = dataset
        self._folder = folder.expanduser() / f"statistics-{content_hash}"

    def columns(self) -> dict[str, Any]:
        """Return the columns' statistics as meta/stats.json has them. Raises DatasetError.

        The dataset's file is taken where it describes every column behind a group, and no row lies
        beyond its ranges; else they are computed, which is logged.
        """
        computed = self._kept("columns", lambda: float_statistics(self._dataset, self._names()))
        own = _optional(self._dataset.path, _STATS)
        problem = stale(own, computed)
        if problem is None:
            return {**computed, **own}
        logger.warning(
            "%s: %s %s: they are computed from the rows (handover check DIR --write-statistics "
            "writes them beside the data)",
            self._dataset.path,
            _STATS,
            problem,
        )
        return computed

    def relative(
        self, references: Mapping[str, str], horizon: int, first: int
    ) -> dict[str, dict[str, Any]]:
        """Return the statistics of relative actions: {group: {mean, …}}, each [horizon][dim].

        references: {group of actions: group of states that it is relative to}. Raises DatasetError.
        """
        if not references:
            return {}
        named = json.dumps([dict(references), horizon, first], sort_keys=True)
        computed = self._kept(
            f"relative-{hashlib.sha256(named.encode()).hexdigest()[:16]}",
            lambda: relative_statistics(
                self._dataset, list(references), horizon, references, first
            ),
        )
        own = _optional(self._dataset.path, _RELATIVE) if not first else {}
        fitting = {
            key: own[key]
            for key, state in references.items()
            if state == key and fits_windows(own.get(key), computed[key])
        }
        return {**computed, **fitting}

    def _names(self) -> list[str]:
        return group_columns(self._dataset)

    def _kept(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self._folder / f"{name}.json"
        if path.is_file():
            try:
                return read_json(self._folder, path.name)
            except DatasetError:
                logger.warning("%s cannot be read and is computed anew", path)
        content = compute()
        write_json(path, content)
        return content


def stale(own: Mapping[str, Any], computed: Mapping[str, Any]) -> str | None:
    """Return why statistics do not describe rows of which the computed ones are; None if they do.

    Statistics of more rows than these are no fault: a sample comes with those of the whole.
    """
    if not own:
        return "has no statistics"
    for column, found in computed.items():
        width = len(found["min"])
        if not well_formed(own.get(column), (width,)):
            return f"has no statistics of the {width} values of {column}"
        problem = beyond(own[column], np.array([found["min"], found["max"]]))
        if problem:
            return f"does not describe these rows: {column}: {problem}"
    return None


def beyond(statistics: Mapping[str, Any], rows: np.ndarray) -> str | None:
    """Return how rows (n, width) lie beyond the statistics' min … max; None if they do not."""
    low, high = np.asarray(statistics["min"]), np.asarray(statistics["max"])
    slack = _TOLERANCE * (high - low) + 1e-6 * (1 + np.abs(high))
    outside = (rows < low - slack) | (rows > high + slack)
    if not outside.any():
        return None
    row, column = (int(place) for place in np.argwhere(outside)[0])
    return (
        f"a row has {rows[row, column]:.6g} in value {column}, beyond its range "
        f"{low[column]:.6g} … {high[column]:.6g}"
    )


def well_formed(statistics: Any, shape: tuple[int, ...]) -> bool:
    """Whether there are all six statistics of this shape, finite."""
    if not isinstance(statistics, dict) or not set(STATISTICS) <= set(statistics):
        return False
    try:
        arrays = [np.asarray(statistics[name], np.float64) for name in STATISTICS]
    except (TypeError, ValueError):
        return False
    return all(array.shape == shape and np.isfinite(array).all() for array in arrays)


def _optional(path: Path, name: str) -> dict[str, Any]:
    """Read a statistics file that may be missing; a broken one raises DatasetError."""
    return read_json(path, name) if (path / name).exists() else {}


def fits_windows(statistics: Any, computed: Mapping[str, Any]) -> bool:
    """Whether statistics of relative actions describe windows of which the computed ones are."""
    if not well_formed(statistics, np.shape(computed["min"])):
        return False
    flat = {key: np.reshape(statistics[key], -1) for key in ("min", "max")}
    return beyond(flat, np.stack([np.reshape(computed[key], -1) for key in flat])) is None
