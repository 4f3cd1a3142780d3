"""Normalization statistics of a GR00T dataset: the contents of its two statistics files.

mean, std (of the population), min, max, q01 and q99 are numpy's, computed in float64 and written as
float32. Rows are held in memory as they are for training; of the windows of relative actions only
one step of the horizon at a time: 112 MB for a million windows of 14 joints.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset

QUANTILES = {"q01": 0.01, "q99": 0.99}


def describe(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Describe each column of (n, columns): mean, std, min, max, q01, q99, (columns,) float32."""
    rows = rows.astype(np.float64, copy=False)
    named = {"mean": rows.mean(0), "std": rows.std(0), "min": rows.min(0), "max": rows.max(0)}
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    named |= dict(zip(QUANTILES, quantiles, strict=True))
    return {name: values.astype(np.float32) for name, values in named.items()}


def float_columns(dataset: GrootDataset) -> list[str]:
    """List the columns that statistics describe: floats of info.json, and those behind groups."""
    floats = [
        name
        for name, feature in dataset.info["features"].items()
        if str(feature.get("dtype")).startswith("float")
    ]
    return list(dict.fromkeys([*floats, *group_columns(dataset)]))


def group_columns(dataset: GrootDataset) -> list[str]:
    """List the columns behind the groups of state and action."""
    return list(dict.fromkeys([*dataset.state_columns.columns, *dataset.action_columns.columns]))


def float_statistics(
    dataset: GrootDataset, names: Sequence[str] | None = None
) -> dict[str, dict[str, list[float]]]:
    """Compute the content of meta/stats.json: {column: {mean, std, min, max, q01, q99}}.

    names: of the columns; by default all that statistics describe. Raises DatasetError.
    """
    if not any(entry.length for entry in dataset.episodes):
        raise DatasetError(f"{dataset.path} has no rows to describe")
    found = {}
    for name in float_columns(dataset) if names is None else names:
        episodes = [dataset.read_columns(entry.index, [name])[name] for entry in dataset.episodes]
        described = describe(np.concatenate(episodes))
        found[name] = {key: values.tolist() for key, values in described.items()}
    return found


def relative_statistics(
    dataset: GrootDataset,
    groups: Sequence[str],
    horizon: int,
    references: Mapping[str, str] | None = None,
    first: int = 0,
) -> dict[str, dict[str, list[list[float]]]]:
    """Compute the content of meta/relative_stats.json: {group: {mean, …}}, each [horizon][dim].

    references: {group of actions: group of states that it is relative to}, where that is another;
    first: rows from a state to the chunk's first action.
    Raises DatasetError when no episode has a full window of `horizon` rows.
    """
    if not groups:
        return {}
    if all(entry.length < first + horizon for entry in dataset.episodes):
        raise DatasetError(
            f"{dataset.path}: no episode has {first + horizon} rows, one chunk's length"
        )
    episodes = [dataset.read_episode(entry.index) for entry in dataset.episodes]
    found = {}
    for group in groups:
        stood = dataset.state_groups[(references or {}).get(group, group)]
        moved = dataset.action_groups[group]
        pairs = [
            (episode.action[first:, moved], episode.state[: max(0, len(episode) - first), stood])
            for episode in episodes
        ]
        steps = [describe(relative_actions(pairs, step, horizon)) for step in range(horizon)]
        found[group] = {key: [step[key].tolist() for step in steps] for key in steps[0]}
    return found


def relative_actions(
    episodes: Iterable[tuple[np.ndarray, np.ndarray]], step: int, horizon: int
) -> np.ndarray:
    """Express one step of every full window's actions relative to the state that it starts from.

    (action (L, D), state (L, D)) of each episode -> (windows, D) float64; an episode has
    L − horizon + 1 windows, none where it is shorter.
    """
    relative = []
    for action, state in episodes:
        windows = max(0, len(action) - horizon + 1)
        moved = action[step : step + windows].astype(np.float64)
        relative.append(moved - state[:windows].astype(np.float64))
    return np.concatenate(relative)
