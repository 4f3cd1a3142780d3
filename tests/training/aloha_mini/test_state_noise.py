"""Errors put on states leave the absolute targets where they were."""

import numpy as np
from handover_model.processing.padding import pad_action, pad_state
from handover_proto.embodiment import ALOHA_SLOTS, GRIPPER_JOINTS, narrow
from handover_training.aloha_mini.processing import (
    chunk_statistics,
    groups_of,
    mini_processor,
    open_processor,
)
from handover_training.aloha_mini.state_noise import StateNoise, make_noise


def test_absolute_targets_stay_and_grippers_are_told_exactly() -> None:
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (50, 14)).astype(np.float32)
    chunks = (states[:, None] + rng.normal(0, 0.2, (50, 16, 14))).astype(np.float32)
    states[0], chunks[0] = states[0] / 2, chunks[0] / 2  # away from the bounds, which clip
    statistics = chunk_statistics(states, chunks)
    processor = open_processor(mini_processor(statistics))
    codec, state = processor.codec, groups_of(states[:1])
    told = pad_state(codec.normalize_state(state), 32)
    wanted, _ = pad_action(codec.normalize_action(groups_of(chunks[0]), state), 16, 32)

    noise = make_noise(statistics, 32, 0.01)
    state_error, action_error = next(
        drawn for drawn in (noise.draw(1, rng) for _ in range(50)) if drawn[0].any()
    )
    error_rad = np.divide(
        state_error[0, 0], noise.state_scale, out=np.zeros(32), where=noise.state_scale > 0
    )[list(ALOHA_SLOTS)]
    moved = groups_of(states[:1] + error_rad.astype(np.float32))
    np.testing.assert_allclose(
        told + state_error[0], pad_state(codec.normalize_state(moved), 32), atol=1e-4
    )
    restored = processor.decode(wanted + action_error[0], moved)
    slots = np.concatenate([restored[key] for key in state], axis=-1)
    np.testing.assert_allclose(narrow(slots), chunks[0], atol=1e-4)
    assert not error_rad[list(GRIPPER_JOINTS)].any()


def test_half_of_the_samples_stay_exact_and_the_others_err_each_by_itself() -> None:
    noise = StateNoise(np.ones(3), np.ones((16, 3)), spread_rad=0.01)
    states, actions = noise.draw(2000, np.random.default_rng(0))
    assert (states.shape, actions.shape) == ((2000, 1, 3), (2000, 16, 3))
    moved = states.any(axis=(1, 2))
    assert 900 < moved.sum() < 1100
    assert len(np.unique(states[moved, 0], axis=0)) == moved.sum()
    np.testing.assert_allclose(states[moved].std(), 0.01, rtol=0.05)
    np.testing.assert_array_equal(actions, np.repeat(-states, 16, axis=1))
