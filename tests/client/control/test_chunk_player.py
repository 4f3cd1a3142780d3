"""The chunk player against hand-computed targets, and what holds for every chunk."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from handover_client.control.chunk_player import ChunkPlayer, chunk_steps_per_control_step
from handover_proto.embodiment import ARM_JOINTS, GRIPPER_JOINTS
from hypothesis import given, settings
from hypothesis import strategies as st

HORIZON = 16
START = np.full(14, 0.5, np.float32)
GRIPPER, ARM = GRIPPER_JOINTS[0], ARM_JOINTS[0]


def ramp(first: float = 0.0) -> np.ndarray:
    """A chunk whose step j wants first + j of every joint."""
    return np.repeat(first + np.arange(HORIZON, dtype=np.float32)[:, None], 14, axis=1)


def test_the_start_is_held_before_the_first_chunk():
    player = ChunkPlayer(START)
    np.testing.assert_array_equal(player.target_at(123), START)
    assert not player.is_dry(123)


def test_arms_go_linearly_and_grippers_jump():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=10, now=10)
    arm = [float(player.target_at(step)[ARM]) for step in range(10, 16)]
    gripper = [float(player.target_at(step)[GRIPPER]) for step in range(10, 16)]
    assert arm == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6, 2.0])  # 20 Hz in steps of 1/50 s
    assert gripper == [0, 0, 0, 1, 1, 2]


def test_hold_makes_arms_jump_too():
    player = ChunkPlayer(START, interpolation="hold")
    player.add(ramp(), observed_at=0, now=0)
    assert [float(player.target_at(step)[ARM]) for step in range(6)] == [0, 0, 0, 1, 1, 2]


def test_a_late_chunk_goes_on_where_it_would_be_by_now():
    prompt, late = ChunkPlayer(START), ChunkPlayer(START)
    assert prompt.add(ramp(), observed_at=0, now=0) == 0
    assert late.add(ramp(), observed_at=0, now=11) == 4  # 0.22 s: steps 0 … 3 have passed
    for step in range(11, 60):
        np.testing.assert_array_equal(late.target_at(step), prompt.target_at(step))


def test_the_last_target_is_held_when_the_chunk_is_over():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=0, now=0)
    assert not player.is_dry(39)
    assert player.is_dry(40)  # 16 steps of 1/20 s are 40 control steps
    for step in (38, 40, 400):
        np.testing.assert_array_equal(player.target_at(step), ramp()[-1])


def test_a_chunk_that_has_passed_changes_nothing():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=0, now=0)
    assert player.add(ramp(100), observed_at=1, now=41) == HORIZON
    np.testing.assert_array_equal(player.target_at(41), ramp()[-1])


def test_an_answer_to_an_older_observation_changes_nothing():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=10, now=12)
    assert player.add(ramp(100), observed_at=5, now=13) == HORIZON
    assert float(player.target_at(15)[ARM]) == pytest.approx(2.0)


@settings(deadline=None)
@given(
    targets=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=16),
    rate=st.sampled_from([5.0, 10.0, 20.0, 29.97, 50.0, 100.0]),
    delay=st.integers(0, 30),
    interpolation=st.sampled_from(["linear", "hold"]),
)
def test_targets_stay_between_those_of_the_chunk(targets, rate, delay, interpolation):
    chunk = np.repeat(np.array(targets, np.float32)[:, None], 14, axis=1)
    start = chunk[0]
    player = ChunkPlayer(start, rate, 50.0, interpolation)
    dropped = player.add(chunk, observed_at=0, now=delay)
    assert 0 <= dropped <= len(chunk)
    for step in range(delay, delay + 50):
        target = player.target_at(step)
        assert target.dtype == np.float32
        assert target.shape == (14,)
        assert chunk.min() - 1e-6 <= target.min() <= target.max() <= chunk.max() + 1e-6


@pytest.mark.parametrize("index", range(0, HORIZON, 2))
def test_every_second_step_falls_on_a_control_step_and_is_played_exactly(index):
    player = ChunkPlayer(START)
    chunk = np.random.default_rng(index).normal(size=(HORIZON, 14)).astype(np.float32)
    player.add(chunk, observed_at=0, now=0)
    np.testing.assert_array_equal(player.target_at(index * 5 // 2), chunk[index])


@pytest.mark.parametrize("shape", [(16, 29), (14,), (0, 14), (2, 16, 14)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        ChunkPlayer(START).add(np.zeros(shape, np.float32), observed_at=0, now=0)


def test_a_chunk_from_the_future_is_refused():
    with pytest.raises(ValueError, match="control step 7"):
        ChunkPlayer(START).add(ramp(), observed_at=7, now=6)


def test_what_is_given_out_is_not_the_players_own_memory():
    player = ChunkPlayer(START)
    player.target_at(0)[:] = 9
    np.testing.assert_array_equal(player.target_at(0), START)


def test_the_rest_is_what_would_be_played_at_the_chunks_own_rate():
    player = ChunkPlayer(START)
    assert player.rest(0).shape == (0, 14)
    chunk = np.random.default_rng(1).normal(size=(HORIZON, 14)).astype(np.float32)
    player.add(chunk, observed_at=10, now=10)
    np.testing.assert_array_equal(player.rest(10), chunk)
    np.testing.assert_array_equal(player.rest(30), chunk[8:])  # 0.4 s later
    assert player.rest(50).shape == (0, 14)
    between = player.rest(12)  # at 0.8 of the way from step 0 to 1
    assert between.shape == (15, 14)
    for number in (0, 2, 4):  # every second step falls on a control step
        played = player.target_at(12 + number * 5 // 2)
        np.testing.assert_allclose(between[number], played, rtol=1e-6)


def test_of_what_has_passed_the_rest_is_what_was_played():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=0, now=0)
    played = [player.play(step) for step in range(11)]
    jump = ramp() + np.float32(7)
    player.add(jump, observed_at=10, now=11)
    played += [player.play(step) for step in range(11, 13)]
    rest = player.rest(5)
    np.testing.assert_array_equal(rest[0], played[5])
    arms, grippers = list(ARM_JOINTS), list(GRIPPER_JOINTS)
    np.testing.assert_allclose(rest[1][arms], ((played[7] + played[8]) / 2)[arms])
    np.testing.assert_array_equal(rest[1][grippers], played[7][grippers])
    np.testing.assert_array_equal(rest[2], played[10])
    np.testing.assert_array_equal(rest[3], player.target_at(Fraction(25, 2)))  # still to come
    assert len(rest) == HORIZON + 2
    np.testing.assert_array_equal(player.rest(-50)[0], played[0])  # nothing is known before


def test_borders_are_where_chunks_meet():
    player = ChunkPlayer(START)
    player.add(ramp(), observed_at=0, now=3)
    player.add(ramp(), observed_at=20, now=25)
    player.add(ramp(), observed_at=10, now=26)  # older: not played
    assert player.borders == [25]


def test_an_ensemble_forgets_chunks_that_are_over():
    player = ChunkPlayer(START, blend="ensemble")
    for number in range(50):
        player.add(ramp(number), observed_at=10 * number, now=10 * number)
    assert len(pickle.dumps(player)) < 10 * ramp().astype(np.float32).nbytes  # it keeps 4 of them
    np.testing.assert_array_equal(player.target_at(9999), ramp(49)[-1])


def test_a_crossfade_leaves_the_old_chunk_within_a_fifth_of_a_second():
    player = ChunkPlayer(START, blend="crossfade")
    player.add(np.ones((HORIZON, 14), np.float32), observed_at=0, now=0)
    player.add(np.zeros((HORIZON, 14), np.float32), observed_at=20, now=25)
    played = np.array([player.target_at(step)[ARM] for step in range(25, 40)], np.float64)
    u = np.arange(11) / 10  # minimum jerk: 10 control steps of 20 ms
    np.testing.assert_allclose(played[:11], 1 - (10 * u**3 - 15 * u**4 + 6 * u**5), atol=1e-6)
    assert (played[10:] == 0).all()
    assert player.target_at(20)[ARM] == 1  # what was played before the new one came


@pytest.mark.parametrize("came", [20, 36, 40, 50])
def test_a_fade_goes_on_where_the_old_chunk_is_over(came):
    old, new, player = ChunkPlayer(START), ChunkPlayer(START), ChunkPlayer(START, blend="crossfade")
    for each in (old, player):
        each.add(ramp(), observed_at=0, now=0)  # its last step is due at 37.5
    for each in (new, player):
        each.add(ramp(100), observed_at=20, now=came)
    assert player.target_at(came)[ARM] == old.target_at(came)[ARM], "nothing jumps at the border"
    over = max(came, Fraction(75, 2))
    for step in (*range(came, came + 12), came + Fraction(1, 3)):
        u = min(1.0, float(step - came) / 10)
        last = min(step, over)
        difference = old.target_at(last)[ARM] - new.target_at(last)[ARM]
        expected = new.target_at(step)[ARM] + difference * (1 - u**3 * (10 - 15 * u + 6 * u**2))
        assert player.target_at(step)[ARM] == pytest.approx(expected, rel=1e-5)


def test_a_player_that_fades_keeps_what_still_counts_alone():
    player = ChunkPlayer(START, blend="crossfade")
    for number in range(50):
        player.add(ramp(number), observed_at=3 * number, now=3 * number)
    assert len(pickle.dumps(player)) < 12 * ramp().astype(np.float32).nbytes  # 5 and their fades


@settings(deadline=None)
@given(st.lists(st.integers(3, 25), min_size=1, max_size=8), st.integers(0, 12))
def test_fades_within_fades_stay_between_the_chunks(gaps, delay):
    player, now = ChunkPlayer(START, blend="crossfade"), 0
    player.add(np.zeros((HORIZON, 14), np.float32), 0, 0)
    for number, gap in enumerate(gaps, start=1):
        for step in range(now, now + gap):
            assert -1e-6 <= player.target_at(step)[ARM] <= 1 + 1e-6
        now += gap
        chunk = np.full((HORIZON, 14), number % 2, np.float32)
        player.add(chunk, max(0, now - delay), now)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [({"blend": "mean"}, "crossfade"), ({"interpolation": "cubic"}, "linear or hold")],
)
def test_an_unknown_way_of_playing_is_refused(choice, expected):
    with pytest.raises(ValueError, match=expected):
        ChunkPlayer(START, **choice)


def test_rates_are_above_zero_and_their_ratio_is_exact():
    assert chunk_steps_per_control_step(20, 50) == Fraction(2, 5)
    assert chunk_steps_per_control_step(0.5, 29.97) == Fraction(50, 2997)
    for rates in ((0, 50), (20, 0), (-20, -50), (float("nan"), 50)):
        with pytest.raises(ValueError, match="above 0"):
            chunk_steps_per_control_step(*rates)


def test_another_robots_chunks_are_as_wide_as_its_start_and_its_grippers_jump():
    player = ChunkPlayer(np.zeros(6, np.float32), 20.0, 50.0, grippers=(5,))
    player.add(ramp()[:, :6], observed_at=0, now=0)
    target = player.target_at(1)
    assert target.shape == (6,)
    assert target[[4, 5]].tolist() == pytest.approx([0.4, 0.0])
    assert player.rest(0).shape == (HORIZON, 6)
    with pytest.raises(ValueError, match=r"expected \(steps, 6\)"):
        player.add(ramp(), observed_at=1, now=1)
