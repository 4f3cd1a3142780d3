"""Normalization statistics of a run: the datasets' own, for its modality config's keys.

They are read from the datasets' meta folders. Relative actions of another horizon or reference
than the dataset was described for are computed from its rows.
"""

from collections.abc import Sequence

import numpy as np
from handover_conversion import read_json
from handover_conversion.groot import relative_statistics
from handover_model.processing import (
    EmbodimentStatistics,
    ModalityConfig,
    StateActionCodec,
    bounds,
    merge_statistics,
    slice_statistics,
)

from handover_training.data.episodes import DatasetSplit
from handover_training.errors import TrainingError

RELATIVE_FILE = "meta/relative_stats.json"


def dataset_statistics(
    sources: Sequence[DatasetSplit], modality: ModalityConfig
) -> EmbodimentStatistics:
    """Read and merge the statistics of a run's datasets, each weighing as much as it has rows.

    Raises DatasetError for a missing stats.json, StatisticsError for one that does not fit.
    """
    parts = [_of_source(source, modality) for source in sources]
    rows = [sum(entry.length for entry in source.dataset.episodes) for source in sources]
    return merge_statistics(parts, rows)


def trained_slots(
    codec: StateActionCodec, horizon: int, width: int, *, varying: bool
) -> np.ndarray:
    """Choose the action numbers that count in the loss: (horizon, width) float32, 1 where they do.

    varying: only those that ever vary in the data; else all that are not padding. A slot that is
    constant in the data decodes to its constant whatever the network predicts; in the loss it would
    only dilute the others. Raises TrainingError when nothing varies.
    """
    columns = []
    steps = codec.modality.action.steps
    for key in codec.modality.action.keys:
        relative = codec.is_relative(key)
        statistics = (
            codec.statistics.relative_action[key] if relative else codec.statistics.action[key]
        )
        percentiles = codec.options.use_percentiles and not relative
        low, high = bounds(statistics, percentiles=percentiles)
        varies = ~np.isclose(high, low) if varying else np.ones(low.shape, bool)
        columns.append(np.broadcast_to(varies, (steps, codec.action_dim(key))))
    joined = np.concatenate(columns, axis=-1)
    if not joined.any():
        raise TrainingError("no action ever changes in these datasets: there is nothing to learn")
    slots = np.zeros((horizon, width), np.float32)
    slots[:steps, : joined.shape[1]] = joined
    return slots


def _of_source(source: DatasetSplit, modality: ModalityConfig) -> EmbodimentStatistics:
    dataset = source.dataset
    stats = read_json(dataset.path, "meta/stats.json")
    relative = (
        read_json(dataset.path, RELATIVE_FILE) if (dataset.path / RELATIVE_FILE).is_file() else {}
    )
    fitting = {
        key: relative[key]
        for key in modality.relative_keys()
        if _fits(relative.get(key), modality, key)
    }
    lacking = [key for key in modality.relative_keys() if key not in fitting]
    if lacking:
        fitting.update(_computed(source, modality, lacking))
    whole = slice_statistics(stats, fitting, dataset.modality)
    return EmbodimentStatistics(
        {key: whole.state[key] for key in modality.state.keys},
        {key: whole.action[key] for key in modality.action.keys},
        {key: whole.relative_action[key] for key in modality.relative_keys()},
    )


def _fits(entry: object, modality: ModalityConfig, key: str) -> bool:
    own_reference = modality.action_config(key).state_key in (None, key)
    steps = len(entry.get("min", [])) if isinstance(entry, dict) else 0
    return own_reference and steps == modality.action.steps


def _computed(
    source: DatasetSplit, modality: ModalityConfig, keys: Sequence[str]
) -> dict[str, dict[str, list[list[float]]]]:
    dataset, horizon = source.dataset, modality.action.steps
    if all(entry.length < horizon for entry in dataset.episodes):
        raise TrainingError(f"{dataset.path}: no episode has {horizon} rows, a chunk's length")
    references = {key: modality.action_config(key).state_key or key for key in keys}
    return relative_statistics(dataset, keys, horizon, references)
