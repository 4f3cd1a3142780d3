import json

import numpy as np
import pytest
from handover_model.checkpoints.metadata import dataset_metadata
from handover_model.errors import StatisticsError
from handover_model.processing.aloha import aloha_processor, dataset_statistics
from handover_model.processing.statistics import (
    NAMES,
    EmbodimentStatistics,
    merge_statistics,
    parse_key,
    parse_statistics,
    slice_statistics,
    statistics_json,
)

from ..conftest import HORIZON, summarize

MODALITY = {
    "state": {"arm": {"start": 0, "end": 2}, "hand": {"start": 2, "end": 3}},
    "action": {"arm": {"start": 1, "end": 3, "original_key": "targets"}},
}


def part(rows: np.ndarray) -> EmbodimentStatistics:
    entry = parse_key(summarize(rows), "rows")
    return EmbodimentStatistics({"arm": entry}, {"arm": entry}, {})


def test_keys_are_slices_of_their_columns():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    stats = {"observation.state": summarize(rows), "targets": summarize(10 * rows)}
    relative = {"arm": summarize(np.zeros((5, 4, 2)))}
    sliced = slice_statistics(stats, relative, MODALITY)
    np.testing.assert_allclose(sliced.state["hand"].mean, rows[:, 2:].mean(0))
    np.testing.assert_array_equal(sliced.action["arm"].max, 10 * rows[:, 1:].max(0))
    assert sliced.relative_action["arm"].min.shape == (4, 2)


def test_a_slice_beyond_its_column_is_refused():
    with pytest.raises(StatisticsError, match=r"state\.hand is 2:3 .* has 2 columns"):
        slice_statistics({"observation.state": summarize(np.zeros((5, 2)))}, {}, MODALITY)


def test_a_missing_column_is_refused_by_name():
    with pytest.raises(StatisticsError, match=r"lacks the column 'observation\.state'"):
        slice_statistics({}, {}, MODALITY)


def test_merging_by_length_is_as_if_the_rows_had_been_together():
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(30, 2)), generator.normal(2, 3, size=(90, 2))
    merged = merge_statistics([part(first), part(second)], [30, 90]).state["arm"]
    together = np.concatenate([first, second])
    np.testing.assert_allclose(merged.mean, together.mean(0))
    np.testing.assert_allclose(merged.std, together.std(0))
    np.testing.assert_allclose(merged.min, together.min(0))
    np.testing.assert_allclose(merged.max, together.max(0))
    q01 = [np.quantile(rows, 0.01, axis=0) for rows in (first, second)]
    np.testing.assert_allclose(merged.q01, np.min(q01, axis=0))


def test_datasets_with_different_keys_are_not_merged():
    rows = np.zeros((5, 2))
    other = EmbodimentStatistics({}, {"arm": part(rows).action["arm"]}, {})
    with pytest.raises(StatisticsError, match="different state keys"):
        merge_statistics([part(rows), other])
    with pytest.raises(StatisticsError, match="different shapes"):
        merge_statistics([part(rows), part(np.zeros((5, 3)))])


@pytest.mark.parametrize("weights", [[0.0, 0.0], [2.0, -1.0], [1.0]])
def test_weights_that_mix_nothing_are_refused(weights):
    with pytest.raises(StatisticsError, match="mixing weights"):
        merge_statistics([part(np.zeros((5, 2)))] * 2, weights)


def test_statistics_survive_their_json():
    original = part(np.random.default_rng(2).normal(size=(9, 2)))
    values = json.loads(json.dumps(statistics_json(original)))
    read = parse_statistics(values, "test")
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(read.state["arm"], name), getattr(original.state["arm"], name)
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"q99": None}, "q99"),
        ({"min": [0.0]}, "one shape"),
        (dict.fromkeys(NAMES, 0.0), "one shape"),
        ({"std": [float("nan"), 0.0]}, "NaN"),
        ({"max": "many"}, "has values that are not numbers"),
    ],
)
def test_damaged_statistics_are_refused(change, said):
    values = {**summarize(np.zeros((5, 2))), **change}
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(StatisticsError, match=said):
        parse_key(values, "gr1.state.arm")


def test_aloha_s_processor_comes_from_the_dataset(dataset):
    processor = aloha_processor(dataset_statistics(dataset), max_state_dim=32, max_action_dim=32)
    modality = processor.modalities["gr1"]
    assert modality.action.delta_indices == tuple(range(HORIZON))
    assert modality.relative_keys() == ("left_arm", "right_arm")
    assert modality.video.keys == ("ego_view",)
    metadata = dataset_metadata(dataset)
    assert metadata.rate_hz == 20
    assert metadata.camera_sizes == {"ego_view": (256, 256)}


def test_aloha_s_processor_needs_relative_statistics(dataset):
    statistics = dataset_statistics(dataset)
    bare = EmbodimentStatistics(statistics.state, statistics.action, {})
    with pytest.raises(StatisticsError, match="left_arm, right_arm"):
        aloha_processor(bare, max_state_dim=32, max_action_dim=32)
