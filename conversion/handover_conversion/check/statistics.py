"""Check of a dataset's statistics files against its rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handover_conversion.check.episodes import EpisodeRows
from handover_conversion.errors import DatasetError
from handover_conversion.findings import Finding, fault, note
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import describe, group_columns, relative_statistics
from handover_conversion.groot.statistics_cache import (
    STATISTICS,
    beyond,
    fits_windows,
    well_formed,
)
from handover_conversion.metadata_files import read_json

KIND = "statistics"
MOST_RECOMPUTED_ROWS = 1_000_000  # above, rows are compared with the ranges alone
_TOLERANCE = 1e-4  # of a column's range: other tools' float32 sums are off by at most that
_STATS, _RELATIVE = "meta/stats.json", "meta/relative_stats.json"


def statistics_findings(
    dataset: GrootDataset, episodes: Sequence[EpisodeRows]
) -> Iterator[Finding]:
    """Compare the statistics with the rows of the episodes that could be read.

    Missing ones are no fault: they are computed when a training starts.
    """
    if (dataset.path / _STATS).exists():
        try:
            yield from _column_findings(dataset, read_json(dataset.path, _STATS), episodes)
        except DatasetError as error:
            yield fault(KIND, str(error))
    elif (dataset.path / "meta/modality.json").exists():
        yield note(KIND, f"there is no {_STATS}: a training computes them (--write-statistics)")
    if (dataset.path / _RELATIVE).exists():
        try:
            yield from _relative_findings(dataset, read_json(dataset.path, _RELATIVE), episodes)
        except DatasetError as error:
            yield fault(KIND, str(error))


def _column_findings(
    dataset: GrootDataset, content: dict[str, Any], episodes: Sequence[EpisodeRows]
) -> Iterator[Finding]:
    for name in group_columns(dataset):
        rows = [episode.columns[name] for episode in episodes]
        if name not in content:
            yield note(KIND, f"{_STATS} has no {name!r}: a training computes it")
        elif not rows:
            continue
        elif not well_formed(content[name], (rows[0].shape[1],)):
            yield _malformed(content[name], f"{_STATS}: {name}", f"{rows[0].shape[1]} long")
        elif problem := _disordered(content[name]):
            yield fault(KIND, f"{_STATS}: {name}: {problem}")
        else:
            yield from _compared(dataset, name, content[name], episodes)


def _malformed(entry: Any, name: str, shape: str) -> Finding:
    """A fault where a loader would read it; some tools write fewer than six."""
    lacking = [key for key in STATISTICS if not isinstance(entry, dict) or key not in entry]
    if isinstance(entry, dict) and lacking:
        return note(KIND, f"{name} has no {', '.join(lacking)}: a training computes them")
    return fault(KIND, f"{name}: expected {', '.join(STATISTICS)}, each {shape}")


def _disordered(statistics: dict[str, Any]) -> str | None:
    """Return how six statistics contradict one another, as those of no rows could."""
    named = {key: np.asarray(statistics[key], np.float64) for key in STATISTICS}
    slack = _slack(named["min"], named["max"])
    for low, high in (
        ("min", "q01"),
        ("q01", "q99"),
        ("q99", "max"),
        ("min", "mean"),
        ("mean", "max"),
    ):
        wrong = np.flatnonzero((named[low] > named[high] + slack).reshape(-1))
        if len(wrong):
            value = int(wrong[0])
            return (
                f"{low}[{value}] is {named[low].flat[value]:.6g}, above {high}[{value}], "
                f"{named[high].flat[value]:.6g}"
            )
    return "std is negative" if (named["std"] < 0).any() else None


def _compared(
    dataset: GrootDataset, name: str, stated: dict[str, Any], episodes: Sequence[EpisodeRows]
) -> Iterator[Finding]:
    for episode in episodes:
        problem = beyond(stated, episode.columns[name])
        if problem:
            yield fault(KIND, f"{_STATS} is stale: {name}: {problem}", episode.entry.index)
            return
    if _all_read(dataset, episodes):
        rows = np.concatenate([episode.columns[name] for episode in episodes])
        for what in _differences(name, stated, describe(rows)):
            yield note(KIND, f"{_STATS} describes other rows too: {what}")


def _relative_findings(
    dataset: GrootDataset, content: dict[str, Any], episodes: Sequence[EpisodeRows]
) -> Iterator[Finding]:
    for group, statistics in content.items():
        part = dataset.action_groups.get(group)
        if part is None or group not in dataset.state_groups:
            yield note(KIND, f"{_RELATIVE}: {group!r} is not a group of modality.json")
            continue
        mean = statistics.get("mean") if isinstance(statistics, dict) else None
        horizon = len(mean) if isinstance(mean, list) else 0
        width = part.stop - part.start
        if not horizon or not well_formed(statistics, (horizon, width)):
            yield _malformed(statistics, f"{_RELATIVE}: {group}", f"[horizon][{width}]")
        elif problem := _disordered(statistics):
            yield fault(KIND, f"{_RELATIVE}: {group}: {problem}")
        elif _all_read(dataset, episodes):
            found = relative_statistics(dataset, [group], horizon)[group]
            if not fits_windows(statistics, found):
                yield fault(KIND, f"{_RELATIVE} is stale: {group}: actions lie beyond its ranges")
                continue
            for what in _differences(group, statistics, found):
                yield note(KIND, f"{_RELATIVE} describes other rows too: {what}")


def _all_read(dataset: GrootDataset, episodes: Sequence[EpisodeRows]) -> bool:
    rows = sum(episode.entry.length for episode in episodes)
    return len(episodes) == len(dataset.episodes) and rows <= MOST_RECOMPUTED_ROWS


def _differences(name: str, stated: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    slack = _slack(np.asarray(found["min"]), np.asarray(found["max"]))
    for key in STATISTICS:
        apart = np.abs(np.asarray(stated[key]) - np.asarray(found[key]))
        if (apart > slack).any():
            worst = np.unravel_index(int((apart - slack).argmax()), apart.shape)
            at = ", ".join(str(int(place)) for place in worst)
            yield (
                f"{name}: {key}[{at}] is {np.asarray(stated[key])[worst]:.6g}, "
                f"the rows give {np.asarray(found[key])[worst]:.6g}"
            )
            return


def _slack(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return _TOLERANCE * (high - low) + 1e-6 * (1 + np.abs(high))
