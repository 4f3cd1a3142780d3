"""Comparison of a dataset's statistics files with its rows."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import (
    float_columns,
    float_statistics,
    relative_statistics,
)
from handover_conversion.metadata_files import read_json

_NAMES = ("mean", "std", "min", "max", "q01", "q99")
MAX_RECOMPUTED_ROWS = (
    200_000  # above, the rows of a sample of episodes are compared with the ranges
)
_SAMPLE = 200
_TOLERANCE = 1e-4  # of a column's range: other tools' float32 sums are off by at most that


_Depth = Literal["form", "sample", "whole"]


def statistics_faults(dataset: GrootDataset, recompute: bool) -> Iterator[Fault]:
    """Recompute the statistics, or for a large dataset compare a sample of its rows with them.

    Where the rows cannot be trusted (not `recompute`), only the form of the files is checked.
    """
    depth: _Depth = "form"
    if recompute:
        rows = sum(entry.length for entry in dataset.episodes)
        depth = "whole" if rows <= MAX_RECOMPUTED_ROWS else "sample"
    for name, checked in (("stats.json", _float_faults), ("relative_stats.json", _relative_faults)):
        try:
            content = read_json(dataset.path, f"meta/{name}")
            for what in checked(dataset, content, depth):
                yield Fault(f"meta/{name}", what)
        except DatasetError as error:
            yield Fault(f"meta/{name}", str(error))


def _float_faults(dataset: GrootDataset, content: dict[str, Any], depth: _Depth) -> Iterator[str]:
    widths = float_columns(dataset)
    yield from (f"has no {name!r}" for name in widths if name not in content)
    present = {name: width for name, width in widths.items() if name in content}
    malformed = [n for n, width in present.items() if not _well_formed(content[n], (width,))]
    yield from (f"{name}: expected {_NAMES}, each {present[name]} long" for name in malformed)
    whole = [name for name in present if name not in malformed]
    if depth == "whole":
        found = float_statistics(dataset)
        for name in whole:
            yield from _differences(name, content[name], found[name])
    if depth != "sample":
        return
    for entry in dataset.episodes[:: -(-len(dataset.episodes) // _SAMPLE)]:
        for name, values in dataset.read_columns(entry.index, whole).items():
            slack = _slack(content[name])
            low = np.asarray(content[name]["min"]) - slack
            high = np.asarray(content[name]["max"]) + slack
            if ((values < low) | (values > high)).any():
                yield f"{name}: episode {entry.index} goes beyond min … max"


def _relative_faults(
    dataset: GrootDataset, content: dict[str, Any], depth: _Depth
) -> Iterator[str]:
    embodiment = (dataset.conversion or {}).get("embodiment")
    relative = embodiment.get("relative") if isinstance(embodiment, dict) else None
    named = map(str, relative) if isinstance(relative, list) else ()
    yield from (f"has no {group!r}" for group in named if group not in content)
    for group, statistics in content.items():
        part = dataset.action_groups.get(group)
        if part is None or group not in dataset.state_groups:
            yield f"{group!r} is not a group of modality.json"
            continue
        mean = statistics.get("mean") if isinstance(statistics, dict) else None
        horizon = len(mean) if isinstance(mean, list) else 0
        if not horizon or not _well_formed(statistics, (horizon, part.stop - part.start)):
            yield f"{group}: expected {_NAMES}, each [horizon][{part.stop - part.start}]"
        elif depth == "whole":
            found = relative_statistics(dataset, [group], horizon)
            yield from _differences(group, statistics, found[group])


def _well_formed(statistics: Any, shape: tuple[int, ...]) -> bool:
    if not isinstance(statistics, dict) or not set(_NAMES) <= set(statistics):
        return False
    try:
        arrays = [np.asarray(statistics[name], np.float64) for name in _NAMES]
    except (TypeError, ValueError):
        return False
    return all(array.shape == shape and np.isfinite(array).all() for array in arrays)


def _differences(name: str, stated: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    slack = _slack(found)
    for key in _NAMES:
        apart = np.abs(np.asarray(stated[key]) - np.asarray(found[key]))
        if (apart > slack).any():
            worst = np.unravel_index(int((apart - slack).argmax()), apart.shape)
            at = ", ".join(str(int(place)) for place in worst)
            yield (
                f"{name}: {key}[{at}] is {np.asarray(stated[key])[worst]:.6g}, "
                f"the rows give {np.asarray(found[key])[worst]:.6g}"
            )


def _slack(statistics: dict[str, Any]) -> np.ndarray:
    low, high = np.asarray(statistics["min"]), np.asarray(statistics["max"])
    return _TOLERANCE * (high - low) + 1e-6 * (1 + np.abs(high))
