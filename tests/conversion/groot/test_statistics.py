"""The statistics equal numpy's over all rows and windows, and NVIDIA's own files."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import (
    describe,
    float_statistics,
    relative_actions,
    relative_statistics,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

_REPOSITORY = Path(__file__).parents[3]


def _numpy_statistics(values):
    q01, q99 = np.quantile(values.astype(np.float64), [0.01, 0.99], axis=0)
    wide = values.astype(np.float64)
    named = {"mean": wide.mean(0), "std": wide.std(0), "min": wide.min(0), "max": wide.max(0)}
    return named | {"q01": q01, "q99": q99}


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 300), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e-30]),
    )
)
def test_statistics_are_numpys_in_double_precision(values):
    found = describe(values)
    scale = max(1e-30, float(np.abs(values).max()))
    for name, expected in _numpy_statistics(values).items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected, rtol=2e-6, atol=2e-6 * scale)


def test_quantiles_are_exact_order_statistics_of_many_rows():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((30_001, 4)) * [1, 1e-4, 1e4, 0]).astype(np.float32)
    found = describe(values)
    ordered = np.sort(values, axis=0)
    np.testing.assert_array_equal(found["q01"], ordered[300])  # 0.01 · 30,000 is a whole rank
    np.testing.assert_array_equal(found["q99"], ordered[29_700])
    for name, expected in _numpy_statistics(values).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_constant_column_has_no_spread():
    values = np.full((50, 1), 0.1, np.float32)
    found = describe(values)
    assert found["std"] == 0
    assert {float(found[name][0]) for name in ("min", "max", "q01", "q99", "mean")} == {
        float(np.float32(0.1))
    }


def test_relative_windows_are_full_and_relative_to_their_first_state():
    action = np.arange(5, dtype=np.float32)[:, None] * 10
    state = np.arange(5, dtype=np.float32)[:, None]
    windows = np.stack([relative_actions([(action, state)], step, 3) for step in range(3)], 1)
    np.testing.assert_array_equal(windows[..., 0], [[0, 10, 20], [9, 19, 29], [18, 28, 38]])
    assert relative_actions([(action, state)], 5, 6).shape == (0, 1)


@pytest.fixture
def noise(record, convert):
    """A dataset of 24 and 20 rows of noise, and its (state, action) of each episode.

    The right arm is slots 13 … 19 of the action, and 14 … 20 of the state.
    """
    output = convert(record(lengths=(60, 50)))
    modality = json.loads((output / "meta/modality.json").read_text())
    modality["state"]["right_arm"].update(start=14, end=21)
    (output / "meta/modality.json").write_text(json.dumps(modality))
    rng, episodes = np.random.default_rng(0), []
    for path in sorted((output / "data").rglob("*.parquet")):
        table = pq.read_table(path)
        scale = np.arange(1, 30)  # so that no column is like another
        state, action = (
            (rng.normal(size=(table.num_rows, 29)) * scale).astype(np.float32) for _ in range(2)
        )
        for name, values in (("observation.state", state), ("action", action)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(name), pa.array(list(values)))
        pq.write_table(table, path)
        episodes.append((state, action))
    return GrootDataset.open(output), episodes


def _assert_numpys(found, values):
    expected = _numpy_statistics(values)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_every_float_column_is_described_over_all_episodes(noise):
    dataset, episodes = noise
    found = float_statistics(dataset)
    assert set(found) == {"observation.state", "action", "timestamp"}
    _assert_numpys(found["observation.state"], np.concatenate([state for state, _ in episodes]))
    _assert_numpys(found["action"], np.concatenate([action for _, action in episodes]))
    _assert_numpys(found["timestamp"], np.concatenate([np.arange(24), np.arange(20)])[:, None] / 20)


@pytest.mark.parametrize("horizon", [3, 20, 21])  # the second episode has 18, 1 and no windows
def test_relative_actions_are_described_step_by_step_over_all_windows(noise, horizon):
    dataset, episodes = noise
    found = relative_statistics(dataset, ["right_arm", "left_arm"], horizon)
    assert set(found) == {"right_arm", "left_arm"}
    for group, moved, stood in (
        ("left_arm", slice(0, 7), slice(0, 7)),
        ("right_arm", slice(13, 20), slice(14, 21)),
    ):
        windows = [
            action[start : start + horizon, moved].astype(np.float64) - state[start, stood]
            for state, action in episodes
            for start in range(len(action) - horizon + 1)
        ]
        _assert_numpys(found[group], np.array(windows))


def test_actions_may_be_relative_to_another_groups_state(noise):
    dataset, episodes = noise
    found = relative_statistics(dataset, ["left_arm"], 3, {"left_arm": "right_arm"})
    windows = [
        action[start : start + 3, :7].astype(np.float64) - state[start, 14:21]
        for state, action in episodes
        for start in range(len(action) - 2)
    ]
    _assert_numpys(found["left_arm"], np.array(windows))


def test_no_window_in_any_episode_is_told(noise):
    with pytest.raises(DatasetError, match="no episode has 25 rows"):
        relative_statistics(noise[0], ["left_arm"], 25)


@pytest.fixture
def golden():
    folder = Path(os.environ.get("HANDOVER_GOLDEN", _REPOSITORY / "../shared/reference"))
    if not (folder / "stats/dataset").is_dir():
        pytest.skip(f"no golden statistics in {folder} (HANDOVER_GOLDEN)")
    return folder / "stats/dataset"


@pytest.mark.golden
def test_stats_json_is_nvidias(golden):
    _assert_same(float_statistics(GrootDataset.open(golden)), golden / "meta/stats.json")


@pytest.mark.golden
def test_relative_stats_json_is_nvidias(golden):
    expected = json.loads((golden / "meta/relative_stats.json").read_text())
    horizon = len(next(iter(expected.values()))["mean"])
    found = relative_statistics(GrootDataset.open(golden), list(expected), horizon)
    _assert_same(found, golden / "meta/relative_stats.json")


def _assert_same(found, path):
    expected = json.loads(path.read_text())
    assert set(found) == set(expected)
    for name, statistics in expected.items():
        assert set(found[name]) == set(statistics)
        for key, values in statistics.items():
            np.testing.assert_allclose(
                found[name][key], values, rtol=1e-5, atol=1e-6, err_msg=f"{name} {key}"
            )
