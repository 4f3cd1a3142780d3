"""The baselines, worked out by hand."""

import numpy as np
from handover_client.replay.baselines import MeanTrajectory, hold_state
from hypothesis import given
from hypothesis import strategies as st


def test_hold_repeats_the_state_of_the_last_inference():
    state = np.arange(5, dtype=np.float32)[:, None] * 10
    held = hold_state(state, (0, 2, 4), 5)
    np.testing.assert_array_equal(held[:, 0], [0, 0, 20, 20, 40])


def test_the_mean_is_of_the_other_episodes_only():
    a, b, c = (np.full((3, 2), value, np.float32) for value in (1.0, 3.0, 7.0))
    mean = MeanTrajectory([a, b, c], steps=200)
    np.testing.assert_array_equal(mean.without(a), np.full((3, 2), 5.0, np.float32))
    np.testing.assert_array_equal(mean.without(c), np.full((3, 2), 2.0, np.float32))


def test_shorter_episodes_count_where_they_have_steps_and_the_last_mean_is_held():
    mine = np.zeros((5, 1), np.float32)
    short = np.array([[2.0]], np.float32)
    longer = np.array([[4.0], [6.0], [8.0]], np.float32)
    predicted = MeanTrajectory([short, mine, longer], steps=200).without(mine)
    np.testing.assert_array_equal(predicted[:, 0], [3, 6, 8, 8, 8])


def test_steps_bound_the_mean_trajectory():
    a, b = np.zeros((9, 1), np.float32), np.ones((9, 1), np.float32)
    assert MeanTrajectory([a, b], steps=4).without(a).shape == (4, 1)


def test_a_single_episode_has_no_others():
    only = np.zeros((3, 1), np.float32)
    assert MeanTrajectory([only], steps=10).without(only) is None
    assert MeanTrajectory([], steps=10).without(only) is None


@given(
    st.lists(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=8), min_size=2, max_size=6)
)
def test_the_mean_trajectory_is_numpys_mean_over_the_others(lengths):
    episodes = [np.array(values, np.float32)[:, None] for values in lengths]
    mean = MeanTrajectory(episodes, steps=100)
    for place, mine in enumerate(episodes):
        others = episodes[:place] + episodes[place + 1 :]
        longest = max(map(len, others))
        expected = [
            np.mean(
                [
                    other[min(step, longest - 1), 0]
                    for other in others
                    if len(other) > min(step, longest - 1)
                ]
            )
            for step in range(len(mine))
        ]
        np.testing.assert_allclose(mean.without(mine)[:, 0], expected, atol=1e-6)
