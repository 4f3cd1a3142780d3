"""The two statistics files of a GR00T dataset, computed from its parquet files one by one."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import describe_columns, describe_relative


def float_columns(dataset: GrootDataset) -> dict[str, int]:
    """Name the dataset's float columns and their widths."""
    return {
        name: int(feature["shape"][0]) if feature.get("shape") else 1
        for name, feature in dataset.info.get("features", {}).items()
        if str(feature.get("dtype")).startswith("float")
    }


def float_statistics(dataset: GrootDataset) -> dict[str, Any]:
    """Compute the content of meta/stats.json: {column: {mean, std, min, max, q01, q99}}."""
    widths = float_columns(dataset)

    def read() -> Iterator[dict[str, np.ndarray]]:
        for entry in dataset.episodes:
            yield dataset.read_columns(entry.index, list(widths))

    return describe_columns(read, widths, sum(entry.length for entry in dataset.episodes))


def relative_statistics(
    dataset: GrootDataset, groups: Sequence[str], horizon: int
) -> dict[str, Any]:
    """Compute the content of meta/relative_stats.json: {group: {mean, …}}, each [horizon][dim].

    Raises DatasetError when no episode has a full window of `horizon` rows.
    """
    parts = {group: dataset.action_groups[group] for group in groups}
    count = sum(max(0, entry.length - horizon + 1) for entry in dataset.episodes)
    if parts and not count:
        raise DatasetError(f"{dataset.path}: no episode has {horizon} rows, one chunk's length")

    def read() -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
        for entry in dataset.episodes:
            episode = dataset.read_episode(entry.index)
            yield {
                group: (episode.action[:, part], episode.state[:, dataset.state_groups[group]])
                for group, part in parts.items()
            }

    widths = {group: part.stop - part.start for group, part in parts.items()}
    return describe_relative(read, widths, count, horizon)
