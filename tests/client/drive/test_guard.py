"""No command leaves the limits, whatever comes in; and what may pass, passes unchanged."""

import dataclasses

import numpy as np
import pytest
from handover_client.drive.guard import Guard, Limits
from hypothesis import given, settings
from hypothesis import strategies as st

PERIOD_S = 0.02
SLACK = 1e-9  # rounding of float64


def limits(joints=3, velocity=2.0, acceleration=20.0, lead=0.5):
    return Limits(
        low=np.linspace(-1.0, -0.2, joints),
        high=np.linspace(0.5, 1.5, joints),
        velocity=np.full(joints, velocity),
        acceleration=np.full(joints, acceleration),
        lead=np.full(joints, lead),
    )


class Watched:
    """A guard whose every command is held against the limits by their definitions alone."""

    def __init__(self, bounds, start):
        self.bounds, self.guard = bounds, Guard(bounds, PERIOD_S, start)
        self.before, self.velocity = start.copy(), np.zeros(len(start))

    def step(self, *arguments):
        given = self.guard.step(*arguments)
        velocity = (given.command - self.before) / PERIOD_S
        change = np.abs(velocity - self.velocity)
        assert np.isfinite(given.command).all()
        # a joint that was outside stays where it is, or comes back
        assert (given.command >= np.minimum(self.bounds.low, self.before)).all()
        assert (given.command <= np.maximum(self.bounds.high, self.before)).all()
        assert (np.abs(velocity) <= self.bounds.velocity + SLACK / PERIOD_S).all()
        assert (change <= self.bounds.acceleration * PERIOD_S + SLACK / PERIOD_S).all()
        self.before, self.velocity = given.command, velocity
        return given


anything = st.floats(width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0])
three = st.lists(anything | st.floats(-2, 2), min_size=3, max_size=3).map(np.array)
hostile = three | st.just(np.zeros(0)) | st.just(np.zeros((2, 3)))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(hostile, hostile, st.sampled_from(["", "", "camera"])), max_size=60),
    st.floats(0.05, 50),
    st.floats(0.5, 5000),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
def test_no_command_leaves_the_limits_whatever_comes_in(asked, velocity, acceleration, start):
    watched = Watched(limits(velocity=velocity, acceleration=acceleration), np.array(start))
    for target, measured, hold in asked:
        watched.step(target, measured, hold)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_a_policy_that_jumps_between_the_limits_never_leaves_them(seed):
    random = np.random.default_rng(seed)
    watched = Watched(limits(lead=10.0), np.zeros(3))
    for _ in range(200):
        aim = np.where(random.random(3) < 0.5, -1e3, 1e3)
        watched.step(aim * random.random(3), watched.before)


def test_what_is_within_the_limits_passes_unchanged_and_uncounted():
    guard = Guard(limits(), PERIOD_S, np.zeros(3))
    for step in range(100):
        target = 0.2 * (1 - np.cos(0.04 * step)) * np.ones(3)
        given = guard.step(target, target)
        np.testing.assert_allclose(given.command, target, atol=1e-12)
        assert given.interventions == ()
    assert not guard.counts


def test_a_jump_is_followed_within_the_limits_and_reached_without_going_past():
    watched = Watched(limits(lead=10.0), np.zeros(3))
    aim = np.full(3, 0.4)
    path = np.array([watched.step(aim, watched.before).command for _ in range(120)])
    np.testing.assert_allclose(path[-1], aim, atol=1e-6)
    assert (path <= aim + 1e-9).all()
    assert watched.guard.counts["velocity"] > 0


def test_a_gripper_without_limits_of_its_own_jumps_within_its_travel():
    bounds = Limits(
        low=np.zeros(1),
        high=np.ones(1),
        velocity=np.array([np.inf]),
        acceleration=np.array([np.inf]),
        lead=np.array([np.inf]),
    )
    guard = Guard(bounds, PERIOD_S, np.zeros(1))
    assert guard.step(np.ones(1), np.zeros(1)).command == 1.0
    assert guard.step(np.zeros(1), np.ones(1)).command == 0.0
    assert not guard.counts
    assert guard.step(np.array([1.7]), np.ones(1)).command == 1.0
    assert guard.counts == {"joint limit": 1}


def test_a_hold_brakes_to_rest_and_stays():
    watched = Watched(limits(), np.zeros(3))
    for step in range(15):
        watched.step(np.full(3, 0.02 * step), watched.before)
    moving = watched.velocity.copy()
    path = [watched.step(np.ones(3), watched.before, "camera top").command for _ in range(30)]
    assert (moving > 0.5).all()
    np.testing.assert_allclose(path[-1], path[-10], atol=1e-12)
    # braking from v at a takes v² / 2a
    assert (path[-1] - path[0] <= moving**2 / (2 * 20.0)).all()
    assert watched.guard.counts["hold"] == 30


def test_an_arm_that_rests_outside_its_limits_comes_back_without_a_jump():
    start = np.array([2.4, -0.6, -1.5])  # limits: -1 … 0.5, -0.6 … 1, -0.2 … 1.5
    watched = Watched(limits(lead=10.0), start)
    assert np.array_equal(watched.step(start, start, "no chunk yet").command, start)
    for _ in range(200):
        watched.step(np.array([2.4, 9.0, -9.0]), watched.before)
    np.testing.assert_allclose(watched.before, [0.5, 1.0, -0.2], atol=1e-6)


def test_after_periods_without_a_command_it_moves_off_from_rest():
    watched = Watched(limits(), np.zeros(3))
    for step in range(20):
        watched.step(np.full(3, 0.02 * step), watched.before)
    assert (watched.velocity > 0.9).all()
    watched.guard.rest()
    watched.velocity = np.zeros(3)
    watched.step(np.full(3, 0.4), watched.before)  # asserts that it is no jump from rest


@pytest.mark.parametrize(("velocity", "acceleration"), [(2.0, 20.0), (3.0, 2.0), (50.0, np.inf)])
def test_braking_takes_no_more_steps_than_it_says(velocity, acceleration):
    bounds = limits(velocity=velocity, acceleration=acceleration, lead=1e9)
    watched = Watched(dataclasses.replace(bounds, high=np.full(3, 1e6)), np.zeros(3))
    for step in range(200):
        watched.step(np.full(3, step * velocity * PERIOD_S), watched.before)
    for _ in range(watched.guard.steps_to_rest):
        watched.step(watched.before, watched.before, "stop")
    assert not watched.velocity.any()


def test_a_target_is_never_further_ahead_of_an_arm_that_stands_still():
    watched = Watched(limits(lead=0.1), np.zeros(3))
    blocked = np.zeros(3)  # an arm that does not move, as when it pushes against something
    for _ in range(200):
        command = watched.step(np.full(3, 0.5), blocked).command
        assert (command <= 0.1 + 1e-9).all()
    assert watched.guard.counts["too far ahead"] > 100


@pytest.mark.parametrize("bad", [np.array([np.nan, 0, 0]), np.zeros(2), np.zeros((1, 3))])
def test_what_is_no_number_for_each_joint_is_a_stop(bad):
    guard = Guard(limits(), PERIOD_S, np.zeros(3))
    assert guard.step(bad, np.zeros(3)).interventions == ("not finite",)
    assert guard.step(np.zeros(3), bad).interventions == ("not finite",)


@pytest.mark.parametrize(
    "change",
    [
        {"low": np.full(3, 9.0)},
        {"velocity": np.zeros(3)},
        {"acceleration": np.array([1.0, np.nan, 1.0])},
        {"high": np.array([1.0, np.inf, 1.0])},
        {"lead": np.ones(2)},
    ],
)
def test_limits_that_no_command_could_keep_are_refused(change):
    with pytest.raises(ValueError, match="limit"):
        Limits(**{**vars(limits()), **change})
