"""Normalization statistics of a run: the datasets' own, for its modality config's keys.

They are read from the datasets' meta folders. Relative actions of another horizon or reference
than the dataset was described for are computed from its rows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from handover_conversion.groot import StatisticsCache
from handover_model.processing import (
    EmbodimentStatistics,
    StateActionCodec,
    bounds,
    merge_statistics,
    slice_statistics,
)

from handover_training.data.episodes import DatasetSplit
from handover_training.errors import TrainingError


def dataset_statistics(sources: Sequence[DatasetSplit], cache: Path) -> EmbodimentStatistics:
    """Read and merge the statistics of one embodiment's datasets, weighed by their rows.

    cache: folder of statistics that had to be computed. Raises DatasetError for rows that cannot be
    read, StatisticsError for statistics that do not fit.
    """
    parts = [_of_source(source, cache) for source in sources]
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


def _of_source(source: DatasetSplit, cache: Path) -> EmbodimentStatistics:
    dataset, modality = source.dataset, source.embodiment.modality
    action = modality.action
    own = StatisticsCache(dataset, source.content_hash, cache)
    references = {
        key: modality.action_config(key).state_key or key for key in modality.relative_keys()
    }
    first = action.delta_indices[0]
    if references and all(entry.length < first + action.steps for entry in dataset.episodes):
        raise TrainingError(
            f"{dataset.path}: no episode has {first + action.steps} rows, a chunk's length"
        )
    relative = own.relative(references, action.steps, first)
    whole = slice_statistics(own.columns(), relative, dataset.modality)
    return EmbodimentStatistics(
        {key: whole.state[key] for key in modality.state.keys},
        {key: whole.action[key] for key in action.keys},
        {key: whole.relative_action[key] for key in references},
    )
