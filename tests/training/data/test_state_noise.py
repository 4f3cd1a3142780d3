"""Noise on states: what is moved, and that the absolute targets stay the demonstrator's."""

from dataclasses import replace

import numpy as np
import pytest
from handover_common import UsageError
from handover_model.processing import (
    EmbodimentStatistics,
    KeyStatistics,
    NormalizeOptions,
    StateActionCodec,
    parse_modality_config,
)
from handover_training.data.state_noise import make_state_noise
from handover_training.data.windows import Window

STEPS = 3


def statistics(shape: tuple[int, ...]) -> KeyStatistics:
    low, high = np.full(shape, -2.0), np.full(shape, 2.0)
    return KeyStatistics(low, high, np.zeros(shape), np.ones(shape), low, high)


def codec(representation: str = "RELATIVE") -> StateActionCodec:
    modality = parse_modality_config(
        {
            "video": {"delta_indices": [0], "modality_keys": ["top"]},
            "state": {"delta_indices": [0], "modality_keys": ["arm", "gripper"]},
            "action": {
                "delta_indices": list(range(STEPS)),
                "modality_keys": ["arm", "gripper"],
                "action_configs": [{"rep": representation}, {"rep": "ABSOLUTE"}],
            },
            "language": {"delta_indices": [0], "modality_keys": ["task"]},
        },
        "test",
    )
    one, two = statistics((2,)), statistics((1,))
    known = EmbodimentStatistics(
        {"arm": one, "gripper": two}, {"arm": one, "gripper": two}, {"arm": statistics((STEPS, 2))}
    )
    return StateActionCodec(modality, known, NormalizeOptions(use_relative_action=True))


WINDOW = Window(
    recording=0,
    row=0,
    frame_rows=(0,),
    state={"arm": np.array([[0.1, 0.2]], np.float32), "gripper": np.array([[0.5]], np.float32)},
    action={
        "arm": np.arange(6, dtype=np.float32).reshape(STEPS, 2) / 10,
        "gripper": np.full((STEPS, 1), 0.3, np.float32),
    },
    real_steps=np.ones(STEPS, bool),
    task="go",
)


def test_half_of_the_samples_are_moved_in_the_groups_that_actions_refer_to():
    noise = make_state_noise(codec(), 0.01)
    assert noise is not None
    moved = [noise.disturb(WINDOW, np.random.default_rng(seed)) for seed in range(400)]
    errors = np.array([one.state["arm"][0] - WINDOW.state["arm"][0] for one in moved])
    still = (errors == 0).all(axis=1)
    assert 150 < still.sum() < 250
    np.testing.assert_allclose(errors[~still].std(), 0.01, rtol=0.15)
    assert all(np.array_equal(one.state["gripper"], WINDOW.state["gripper"]) for one in moved)


def test_absolute_targets_stay_the_demonstrators():
    noise = make_state_noise(codec(), 0.05)
    assert noise is not None
    moved = next(
        one
        for one in (noise.disturb(WINDOW, np.random.default_rng(seed)) for seed in range(20))
        if one is not WINDOW
    )
    normalized = codec().normalize_action(moved.action, moved.state)
    exact = codec().normalize_action(WINDOW.action, WINDOW.state)
    assert np.abs(normalized["arm"] - exact["arm"]).max() > 0.001
    restored = codec().restore_action(normalized, moved.state)
    np.testing.assert_allclose(restored["arm"], WINDOW.action["arm"], atol=1e-6)


def test_no_noise_and_nothing_that_could_be_moved():
    assert make_state_noise(codec(), 0.0) is None
    with pytest.raises(UsageError, match=r"--state-noise .* has none"):
        make_state_noise(codec("ABSOLUTE"), 0.01)


def test_the_window_itself_is_not_changed():
    noise = make_state_noise(codec(), 0.05)
    assert noise is not None
    before = replace(WINDOW, state={key: value.copy() for key, value in WINDOW.state.items()})
    for seed in range(10):
        noise.disturb(WINDOW, np.random.default_rng(seed))
    for key, value in before.state.items():
        np.testing.assert_array_equal(WINDOW.state[key], value)
