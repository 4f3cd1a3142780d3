"""Normalization statistics: six for each key of an embodiment.

A dataset has them per column (`meta/stats.json`) and, for relative actions, per step of the chunk
(`meta/relative_stats.json`); a checkpoint has them per key and embodiment (`statistics.json`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handover_model.errors import StatisticsError

NAMES = ("min", "max", "mean", "std", "q01", "q99")


@dataclass(frozen=True)
class KeyStatistics:
    """Statistics of one key, float64: (dim,), or (horizon, dim) for relative actions."""

    min: np.ndarray
    max: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    q01: np.ndarray
    q99: np.ndarray

    @property
    def dim(self) -> int:
        """Width of one step of the key."""
        return self.min.shape[-1]


@dataclass(frozen=True)
class EmbodimentStatistics:
    """Statistics of every key of one embodiment."""

    state: Mapping[str, KeyStatistics]
    action: Mapping[str, KeyStatistics]
    relative_action: Mapping[str, KeyStatistics]


def parse_statistics(values: Mapping[str, Any], place: str) -> EmbodimentStatistics:
    """Parse one embodiment's part of statistics.json; StatisticsError names what is wrong."""
    try:
        parts = {
            kind: {
                key: parse_key(entry, f"{place}.{kind}.{key}")
                for key, entry in (values.get(kind) or {}).items()
            }
            for kind in ("state", "action", "relative_action")
        }
    except (AttributeError, TypeError):
        raise StatisticsError(f"{place}: expected {{kind: {{key: statistics}}}}") from None
    return EmbodimentStatistics(**parts)


def statistics_json(statistics: EmbodimentStatistics) -> dict[str, Any]:
    """Return one embodiment's part of statistics.json."""
    return {
        kind: {
            key: {name: getattr(entry, name).tolist() for name in NAMES}
            for key, entry in getattr(statistics, kind).items()
        }
        for kind in ("state", "action", "relative_action")
    }


def parse_key(values: Mapping[str, Any], place: str) -> KeyStatistics:
    """Parse one key's six statistics; all of one shape, finite."""
    missing = [name for name in NAMES if name not in values]
    if missing:
        raise StatisticsError(f"{place} lacks {', '.join(missing)}; expected {', '.join(NAMES)}")
    try:
        arrays = {name: np.asarray(values[name], np.float64) for name in NAMES}
    except (TypeError, ValueError) as error:
        raise StatisticsError(f"{place} has values that are not numbers: {error}") from error
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or not arrays["min"].ndim:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise StatisticsError(f"{place}: expected six arrays of one shape, got {listed}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise StatisticsError(f"{place} holds NaN or infinite values; compute it again")
    return KeyStatistics(**arrays)


def slice_statistics(
    stats: Mapping[str, Any],
    relative_stats: Mapping[str, Any],
    modality: Mapping[str, Any],
) -> EmbodimentStatistics:
    """Split a dataset's column statistics by key, by the start and end in meta/modality.json.

    stats, relative_stats, modality: contents of meta/stats.json, meta/relative_stats.json and
    meta/modality.json. A key's column is its `original_key`, else observation.state or action.
    """
    parts: dict[str, dict[str, KeyStatistics]] = {}
    for kind, column in (("state", "observation.state"), ("action", "action")):
        parts[kind] = {
            key: _slice_column(stats, entry.get("original_key") or column, entry, f"{kind}.{key}")
            for key, entry in modality.get(kind, {}).items()
        }
    relative = {
        key: parse_key(entry, f"relative_stats.json {key}") for key, entry in relative_stats.items()
    }
    return EmbodimentStatistics(parts["state"], parts["action"], relative)


def merge_statistics(
    parts: Sequence[EmbodimentStatistics], weights: Sequence[float] | None = None
) -> EmbodimentStatistics:
    """Merge the statistics of datasets that are mixed with the given weights (equal by default).

    Means by weight, deviations from the second moments, minima, maxima and quantiles as extremes.
    Raises StatisticsError when the datasets do not have the same keys.
    """
    if not parts:
        raise StatisticsError("no statistics to merge, expected those of one dataset or more")
    shares = np.asarray(weights if weights is not None else [1.0] * len(parts), np.float64)
    if len(shares) != len(parts) or not shares.sum() > 0 or (shares < 0).any():
        raise StatisticsError(f"mixing weights {shares.tolist()} for {len(parts)} datasets")
    shares = shares / shares.sum()
    return EmbodimentStatistics(
        *(
            _merge_kind([getattr(part, kind) for part in parts], shares, kind)
            for kind in ("state", "action", "relative_action")
        )
    )


def _slice_column(
    stats: Mapping[str, Any], column: str, entry: Mapping[str, int], place: str
) -> KeyStatistics:
    if column not in stats:
        raise StatisticsError(
            f"stats.json lacks the column {column!r} of {place}; it has {', '.join(stats)}"
        )
    start, end = entry["start"], entry["end"]
    whole = parse_key(stats[column], f"stats.json {column}")
    if not 0 <= start < end <= whole.dim:
        raise StatisticsError(
            f"modality.json: {place} is {start}:{end} of {column}, which has {whole.dim} columns"
        )
    return KeyStatistics(**{name: getattr(whole, name)[..., start:end] for name in NAMES})


def _merge_kind(
    parts: Sequence[Mapping[str, KeyStatistics]], shares: np.ndarray, kind: str
) -> dict[str, KeyStatistics]:
    keys = set(parts[0])
    if any(set(part) != keys for part in parts):
        listed = " | ".join(", ".join(part) for part in parts)
        raise StatisticsError(f"datasets with different {kind} keys cannot be mixed: {listed}")
    return {
        key: _merge_key([part[key] for part in parts], shares, f"{kind}.{key}") for key in parts[0]
    }


def _merge_key(parts: Sequence[KeyStatistics], shares: np.ndarray, place: str) -> KeyStatistics:
    if len({part.min.shape for part in parts}) != 1:
        shapes = ", ".join(str(part.min.shape) for part in parts)
        raise StatisticsError(f"{place} has different shapes in the datasets: {shapes}")
    if len(parts) == 1:
        return parts[0]

    def average(arrays: list[np.ndarray]) -> np.ndarray:
        return np.tensordot(shares, np.stack(arrays), axes=1)

    mean = average([part.mean for part in parts])
    second = average([part.std**2 + part.mean**2 for part in parts])
    return KeyStatistics(
        min=np.min([part.min for part in parts], axis=0),
        max=np.max([part.max for part in parts], axis=0),
        mean=mean,
        std=np.sqrt(np.maximum(second - mean**2, 0)),
        q01=np.min([part.q01 for part in parts], axis=0),
        q99=np.max([part.q99 for part in parts], axis=0),
    )
