import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from handover_model.errors import ModalityError, StatisticsError
from handover_model.processing.modality import (
    ActionConfig,
    ActionRep,
    Modality,
    ModalityConfig,
    modality_config_json,
    parse_modality_config,
)
from handover_model.processing.padding import cut_action, pad_action, pad_state
from handover_model.processing.state_action import NormalizeOptions, StateActionCodec, by_range
from handover_model.processing.statistics import EmbodimentStatistics, KeyStatistics
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

STEPS = 3
LOW, HIGH = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 4.0, 2.0])  # the third never moves
numbers = arrays(np.float32, (STEPS, 3), elements=st.floats(-5, 5, width=32))


def key_statistics(low: np.ndarray, high: np.ndarray) -> KeyStatistics:
    mean, std = (low + high) / 2, (high - low) / 4
    return KeyStatistics(
        low, high, mean, std, low + 0.25 * (high - low), high - 0.25 * (high - low)
    )


def codec(modality: ModalityConfig | None = None, **options) -> StateActionCodec:
    absolute = key_statistics(LOW, HIGH)
    steps = np.arange(1, STEPS + 1)[:, None]
    relative = key_statistics(-steps * np.ones((STEPS, 3)), steps * np.ones((STEPS, 3)))
    statistics = EmbodimentStatistics(
        {"arm": absolute, "hand": absolute},
        {"hand": absolute, "arm": absolute},
        {"arm": relative},
    )
    chosen = {"use_relative_action": True, **options}
    return StateActionCodec(modality or two_groups(), statistics, NormalizeOptions(**chosen))


def two_groups(**changes) -> ModalityConfig:
    actions = (ActionConfig(), ActionConfig(ActionRep.RELATIVE))
    parts = {
        "video": Modality(("top",)),
        "state": Modality(("arm", "hand")),
        "action": Modality(("hand", "arm"), tuple(range(STEPS)), actions=actions),
        "language": Modality(("task",)),
    }
    return ModalityConfig(**{**parts, **changes})


STATE = {name: np.full((1, 3), 0.5, np.float32) for name in ("arm", "hand")}


def test_minimum_and_maximum_become_minus_one_and_one():
    values = {**STATE, "arm": np.stack([LOW, HIGH, (LOW + HIGH) / 2]).astype(np.float32)}
    got = codec().normalize_state(values)
    assert list(got) == ["arm", "hand"]
    np.testing.assert_allclose(got["arm"], [[-1, -1, 0], [1, 1, 0], [0, 0, 0]])
    assert got["arm"].dtype == np.float32


def test_a_dimension_that_never_moves_becomes_zero_and_comes_back():
    action = {"hand": np.full((STEPS, 3), 9, np.float32), "arm": np.zeros((STEPS, 3), np.float32)}
    normalized = codec().normalize_action(action, STATE)
    assert (normalized["hand"][:, 2] == 0).all()
    assert (codec().restore_action(normalized, STATE)["hand"][:, 2] == 2.0).all()


def test_a_range_that_numpy_calls_close_is_none():
    low = np.array([1.0, 1.0, 0.0, 0.0])
    high = low + np.array([0.9e-5, 1.2e-5, 0.9e-8, 1.2e-8])
    assert np.isclose(high, low).tolist() == [True, False, True, False]
    assert by_range(high, low, high).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("clips", "want"), [(True, 1.0), (False, 9.0)])
def test_outliers_are_clipped_when_asked(clips, want):
    values = {**STATE, "arm": np.full((1, 3), 9, np.float32)}
    assert codec(clip_outliers=clips).normalize_state(values)["arm"][0, 0] == want


def test_percentiles_bound_absolute_keys_alone():
    action = {name: np.ones((STEPS, 3), np.float32) for name in ("hand", "arm")}
    plain = codec().normalize_action(action, STATE)
    percentiles = codec(use_percentiles=True).normalize_action(action, STATE)
    np.testing.assert_array_equal(percentiles["arm"], plain["arm"])
    assert plain["hand"][0, 1] == -0.5  # 1 within 0 … 4
    assert percentiles["hand"][0, 1] == -1  # 1 within 1 … 3


def test_relative_actions_are_measured_against_the_last_state_step():
    state = {"arm": np.array([[9, 9, 9], [1, 2, 3]], np.float32), "hand": STATE["hand"]}
    action = {"hand": np.zeros((STEPS, 3), np.float32), "arm": np.full((STEPS, 3), 2, np.float32)}
    got = codec().normalize_action(action, state)["arm"]
    np.testing.assert_allclose(got[0], [1, 0, -1])  # 2 - state, within -1 … 1
    np.testing.assert_allclose(got[1], [0.5, 0, -0.5])  # within -2 … 2 at the second step
    assert got.dtype == np.float64


def test_a_relative_action_may_name_another_state():
    actions = (ActionConfig(), ActionConfig(ActionRep.RELATIVE, state_key="hand"))
    config = two_groups(action=Modality(("hand", "arm"), (0, 1, 2), actions=actions))
    state = {"arm": np.zeros((1, 3), np.float32), "hand": np.full((1, 3), 2, np.float32)}
    action = {name: np.full((STEPS, 3), 2, np.float32) for name in ("hand", "arm")}
    assert (codec(config).normalize_action(action, state)["arm"] == 0).all()


def test_relative_keys_are_absolute_when_the_option_is_off():
    off = codec(use_relative_action=False)
    assert not off.is_relative("arm")
    action = {name: np.ones((STEPS, 3), np.float32) for name in ("hand", "arm")}
    got = off.normalize_action(action, STATE)
    np.testing.assert_array_equal(got["arm"], got["hand"])


@settings(deadline=None)
@given(numbers, numbers)
def test_restoring_undoes_normalizing_within_the_range(hand, arm):
    plain = codec(clip_outliers=False)
    hand = np.clip(hand, LOW, HIGH).astype(np.float32)
    arm = np.clip(arm, -1, 1)  # within 1 of the state at every step: within all relative ranges
    action = {"hand": hand, "arm": STATE["arm"] + arm}
    restored = plain.restore_action(plain.normalize_action(action, STATE), STATE)
    for key, values in action.items():
        np.testing.assert_allclose(restored[key], values, atol=2e-6)


@settings(deadline=None)
@given(numbers)
def test_restored_actions_stay_within_the_range_of_the_data(prediction):
    got = codec().restore_action({"hand": prediction, "arm": prediction}, STATE)
    assert (got["hand"] >= LOW - 1e-9).all()
    assert (got["hand"] <= HIGH + 1e-9).all()
    assert (np.abs(got["arm"][0] - 0.5) <= 1 + 1e-9).all()


def test_mean_and_deviation_keys():
    names = ("arm",)
    config = two_groups(state=Modality(("arm", "hand"), mean_std_keys=names))
    got = codec(config).normalize_state({**STATE, "arm": np.full((1, 3), 5, np.float32)})["arm"]
    np.testing.assert_allclose(got, [[10, 3, 5]])  # never clipped; deviation 0 passes unchanged


def test_actions_by_mean_and_deviation_come_back_and_a_constant_one_passes_unchanged():
    config = two_groups(action=Modality(("hand", "arm"), (0, 1, 2), mean_std_keys=("hand",)))
    plain = codec(config, clip_outliers=False)
    row = np.array([0.5, 3, 5], np.float32)  # means 0, 2, 2; deviations 0.5, 1, 0
    action = {"hand": np.tile(row, (STEPS, 1)), "arm": np.zeros((STEPS, 3), np.float32)}
    normalized = plain.normalize_action(action, STATE)
    np.testing.assert_allclose(normalized["hand"][0], [1, 1, 5])
    np.testing.assert_allclose(plain.restore_action(normalized, STATE)["hand"][0], row)
    clipped = codec(config).normalize_action(action, STATE)["hand"][0]
    np.testing.assert_allclose(clipped, [1, 1, 1])


def test_angles_become_sines_then_cosines():
    config = two_groups(state=Modality(("arm", "hand"), sin_cos_keys=("arm",)))
    angles = {**STATE, "arm": np.array([[0, np.pi / 2, np.pi]], np.float32)}
    encoded = codec(config, apply_sincos_state_encoding=True).normalize_state(angles)
    np.testing.assert_allclose(encoded["arm"], [[0, 1, 0, 1, 0, -1]], atol=1e-6)
    assert codec(config).normalize_state(angles)["arm"].shape == (1, 3)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"arm": STATE["arm"]}, "'hand' is missing; there is arm"),
        ({**STATE, "arm": np.zeros((1, 4), np.float32)}, r"shape \(1, 4\), expected \(steps, 3\)"),
    ],
)
def test_states_that_do_not_fit_are_refused(state, said):
    with pytest.raises(ModalityError, match=said):
        codec().normalize_state(state)


def test_a_chunk_of_another_length_than_its_statistics_is_refused():
    action = {name: np.zeros((STEPS + 1, 3), np.float32) for name in ("hand", "arm")}
    with pytest.raises(StatisticsError, match="4 steps, but its statistics have 3"):
        codec().normalize_action(action, STATE)
    with pytest.raises(StatisticsError, match="4 steps, but its statistics have 3"):
        codec().restore_action(action, STATE)


def test_actions_that_are_not_implemented_are_refused():
    actions = (ActionConfig(), ActionConfig(ActionRep.RELATIVE, kind="EEF"))
    config = two_groups(action=Modality(("hand", "arm"), (0, 1, 2), actions=actions))
    with pytest.raises(ModalityError, match="'arm' is RELATIVE EEF"):
        codec(config)
    assert not codec(config, use_relative_action=False).is_relative("arm")
    delta = (ActionConfig(), ActionConfig(ActionRep.DELTA))
    with pytest.raises(ModalityError, match="'arm' is DELTA NON_EEF"):
        codec(two_groups(action=Modality(("hand", "arm"), (0, 1, 2), actions=delta)))


def test_a_relative_action_needs_its_state():
    with pytest.raises(ModalityError, match=r"relative to the state 'arm', which .*: hand"):
        codec(two_groups(state=Modality(("hand",))))


def test_padding_and_cutting_are_inverse():
    groups = {"hand": np.ones((3, 2), np.float32), "arm": np.full((3, 4), 2, np.float32)}
    action, mask = pad_action(groups, 5, 8)
    assert action.shape == mask.shape == (5, 8)
    assert mask.sum() == 3 * 6
    assert (action[mask == 0] == 0).all()
    for key, values in cut_action(action, ["hand", "arm"], [2, 4], 3).items():
        np.testing.assert_array_equal(values, groups[key])
    assert pad_state({"arm": np.ones((2, 3), np.float32)}, 4).tolist() == [[1, 1, 1, 0]] * 2


def test_too_wide_groups_are_refused():
    groups = {"arm": np.ones((3, 4), np.float32)}
    with pytest.raises(ModalityError, match="max_state_dim"):
        pad_state(groups, 3)
    with pytest.raises(ModalityError, match="max_action_horizon"):
        pad_action(groups, 2, 8)
    with pytest.raises(ModalityError, match="5 steps x 4"):
        cut_action(np.zeros((5, 4)), ["arm"], [5], 5)
    with pytest.raises(ModalityError, match="5 steps x 4"):
        cut_action(np.zeros((5, 4)), ["arm"], [4], 6)


def test_a_modality_configuration_survives_its_json():
    actions = (ActionConfig(kind="EEF"), ActionConfig(ActionRep.RELATIVE, state_key="hand"))
    config = two_groups(
        state=Modality(("arm",), (-1, 0), ("arm",), ("hand",)),
        action=Modality(("hand", "arm"), (0, 1, 2), actions=actions),
    )
    assert parse_modality_config(modality_config_json(config), "test") == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"video": None}, "gr1: video is missing"),
        ({"state": {"modality_keys": "arm", "delta_indices": [0]}}, "list of names"),
        ({"state": {"modality_keys": ["arm"], "delta_indices": [0.5]}}, "list of ints"),
        ({"action": {"modality_keys": ["a"], "delta_indices": [0], "action_configs": []}}, "0 act"),
    ],
)
def test_modality_configurations_that_make_no_sense_are_refused(change, said):
    with pytest.raises(ModalityError, match=said):
        parse_modality_config({**modality_config_json(two_groups()), **change}, "gr1")


def test_an_unknown_representation_is_refused():
    values = modality_config_json(two_groups())
    values["action"]["action_configs"][0]["rep"] = "SIDEWAYS"
    with pytest.raises(ModalityError, match=r"SIDEWAYS.*ABSOLUTE, RELATIVE"):
        parse_modality_config(values, "gr1")


def test_options_have_the_codes_defaults():
    assert dataclasses.asdict(NormalizeOptions()) == {
        "use_percentiles": False,
        "clip_outliers": True,
        "apply_sincos_state_encoding": False,
        "use_relative_action": False,
    }
