"""The control loop with a robot of points: lockstep, real time, and what may go wrong in both."""

import threading
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from handover_client.control import RealTimeController
from handover_client.control.real_time import WallClock
from handover_client.control.request_log import RequestLog
from handover_client.control.retries import Outage
from handover_client.errors import NoPlan
from handover_client.rollout.loop import EpisodeSetup, play_episode
from handover_proto.errors import InvalidRequest, ServerUnavailable

from ..stand_ins import BLIND, PointRobot, RampSource


def play(source, max_steps=100, period_s=None, delay=lambda: 0.0, bound_s=60.0, robot=None):
    """Play one episode: in lockstep, or in real time with a period of its own."""
    robot = robot or PointRobot()
    robot.reset(seed=0)
    # in real time steps of another length, at the same 2.5 control steps for each of the policy's
    rate_hz = 50.0 if period_s is None else 1 / period_s
    source.spec = replace(source.spec, rate_hz=rate_hz / 2.5)
    controller = RealTimeController(
        source,
        "task",
        rate_hz,
        "naive",
        reconnect_s=bound_s,
        clock="simulated" if period_s is None else "wall",
        added_latency_s=delay,
    )
    clock = None if period_s is None else WallClock(period_s)

    def observe():
        return robot.state, robot.render(32) if source.spec.cameras else None

    setup = EpisodeSetup(3, 1003, max_steps, 50.0)
    try:
        return play_episode(robot, controller, observe, clock, setup), robot
    finally:
        robot.is_over = True


def fails_from(first, last):
    def trouble(call):
        if first <= call <= last:
            raise ServerUnavailable("gone")

    return trouble


def test_lockstep_plays_the_ramp_without_a_gap():
    source = RampSource()
    played, robot = play(source)
    expected = np.float32(0.05) * np.arange(100) * 0.4
    np.testing.assert_allclose([target[0] for target in robot.played], expected, atol=1e-6)
    assert [request.sequence for request in source.requests] == [0, 8, 16, 24, 32]
    assert played.record.steps == 100
    assert played.record.ended == "max_steps"
    assert played.record.dry_steps == played.record.dropped_steps == 0
    assert played.record.latency_ms == [5.0] * 5
    assert played.record.stage_ms["queue"] == [1.0] * 5
    np.testing.assert_array_equal(played.targets, np.array(robot.played))


def test_a_frame_is_drawn_only_when_it_is_sent():
    _, robot = play(RampSource())
    assert robot.renders == 5
    _, robot = play(RampSource(spec=BLIND))
    assert robot.renders == 0


def test_the_episode_ends_ten_steps_after_success():
    played, _ = play(RampSource(slope=0.25), max_steps=400)  # 0.1 a control step
    record = played.record
    assert record.first_steps == {1: 11, 2: 21, 3: 31, 4: 41}
    assert record.success
    assert record.strict_success
    assert record.steps == 50
    assert record.ended == "done"


def test_a_server_that_comes_back_leaves_the_lockstep_episode_as_it_was():
    undisturbed, _ = play(RampSource())
    played, _ = play(RampSource(trouble=fails_from(3, 4)))
    np.testing.assert_array_equal(played.targets, undisturbed.targets)
    (outage,) = played.record.outages
    assert (outage.step, outage.failures, outage.recovered) == (40, 2, True)


def test_a_server_that_stays_away_ends_the_lockstep_episode():
    played, _ = play(RampSource(trouble=fails_from(3, 10**9)), bound_s=0.2)
    assert played.record.ended == "server_lost"
    assert played.record.steps == 40
    assert not played.record.success
    assert not played.record.outages[0].recovered
    assert "no chunk for 0.2 s" in played.record.error


# Nothing below depends on how fast this machine is: where threads are involved an episode ends by
# success, which takes an answer, or when its robot says so, and never by its number of steps.
A_MINUTE = 12_000  # steps of 5 ms


def wait_for_step(robot, step):
    """Think until the robot has played so many control steps, or is not driven any more."""
    until_s = time.monotonic() + 60
    while len(robot.played) < step and not robot.is_over and time.monotonic() < until_s:
        time.sleep(0.001)


def test_the_robot_goes_on_while_the_policy_thinks():
    robot = PointRobot()
    thinking = RampSource(
        slope=0.25, trouble=lambda call: wait_for_step(robot, len(robot.played) + 10)
    )
    played, _ = play(thinking, max_steps=A_MINUTE, period_s=0.005, robot=robot)
    assert played.record.ended == "done"
    assert played.record.dropped_steps > 0
    assert not any(robot.played[0])  # what is held before the first chunk comes
    for step, target in enumerate(robot.played):
        assert target[0] <= 0.25 * 0.4 * step + 1e-6  # never ahead of the plan


def test_added_latency_is_part_of_the_latency():
    played, _ = play(RampSource(slope=0.25), A_MINUTE, period_s=0.005, delay=lambda: 0.04)
    assert min(played.record.latency_ms) >= 40
    assert played.record.dropped_steps > 0


def test_a_late_answer_makes_the_robot_hold_its_last_target():
    robot, called_at = PointRobot(), []

    def trouble(call):
        if robot.joints.any() and not called_at:  # a chunk is played, and lasts 40 steps at most
            called_at.append(len(robot.played))
            wait_for_step(robot, called_at[0] + 60)

    source = RampSource(slope=0.25, trouble=trouble)
    played, _ = play(source, A_MINUTE, period_s=0.005, robot=robot)
    assert played.record.ended == "done"
    (dry,) = {float(target[0]) for target in robot.played[called_at[0] + 42 : called_at[0] + 60]}
    assert dry in {0.25 * (request.sequence + 15) for request in source.requests}
    assert played.record.dry_steps >= 18
    assert played.record.dry_spells[0] <= called_at[0] + 42


def test_in_real_time_the_episode_goes_on_through_an_outage():
    source = RampSource(slope=0.25, trouble=fails_from(2, 4))
    played, _ = play(source, A_MINUTE, period_s=0.005)
    record = played.record
    assert record.ended == "done"  # no success without another chunk than the first
    (outage,) = record.outages
    assert outage.failures == 3
    assert outage.recovered
    sequences = [request.sequence for request in source.requests]
    assert sequences == sorted(set(sequences))  # asked again with a fresh look each time


def test_an_outage_that_lasts_to_the_end_is_on_record():
    source = RampSource(trouble=fails_from(2, 10**9))
    robot = PointRobot(diverges=lambda step: len(source.requests) == 4)
    played, _ = play(source, A_MINUTE, period_s=0.005, robot=robot)
    (outage,) = played.record.outages
    assert not outage.recovered
    assert outage.failures >= 2


@pytest.mark.parametrize("hangs", [False, True])
def test_a_real_time_episode_without_any_answer_has_lost_its_server(hangs):
    robot = PointRobot()

    def trouble(call):
        if hangs:
            wait_for_step(robot, 10**9)
        raise ServerUnavailable("gone")

    played, _ = play(RampSource(trouble=trouble), max_steps=100, period_s=0.005, robot=robot)
    record = played.record
    assert (record.ended, record.steps) == ("server_lost", 100)
    assert "no chunk in the whole episode" in record.error
    (outage,) = record.outages
    assert (outage.step, outage.recovered) == (0, False)
    assert outage.lasted_s > 0.4
    assert not hangs or outage.error == "no answer yet"


@pytest.mark.parametrize(
    ("since", "recovered", "ended"),
    [(0, False, "server_lost"), (0, True, "max_steps"), (20, False, "max_steps")],
)
def test_a_server_is_lost_that_never_answered_not_one_that_went_later(since, recovered, ended):
    class Unanswered:
        borders: ClassVar = []
        began = 0

        def __init__(self):
            self.log = RequestLog()

        def act(self, step, observe):
            return np.zeros(14, np.float32)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.log.outages.append(Outage(since, "gone", 3, 1.0, recovered))

    robot, setup = PointRobot(), EpisodeSetup(3, 1003, 30, 50.0)
    record = play_episode(robot, Unanswered(), lambda: None, None, setup).record
    assert (record.ended, record.steps) == (ended, 30)
    assert bool(record.error) == (ended == "server_lost")


def test_an_answer_that_added_latency_keeps_back_is_no_lost_server():
    answered = threading.Event()

    def delay():
        answered.set()
        return 60.0

    robot = PointRobot(diverges=lambda step: step == 50 and not answered.wait(60))
    played, _ = play(RampSource(), max_steps=100, period_s=0.005, delay=delay, robot=robot)
    assert (played.record.ended, played.record.outages) == ("max_steps", [])


@pytest.mark.parametrize("period_s", [None, 0.002])
def test_an_error_that_would_come_again_is_raised(period_s):
    def trouble(call):
        raise InvalidRequest("state", "7 values", "6")

    with pytest.raises(InvalidRequest):
        play(RampSource(trouble=trouble), max_steps=10_000, period_s=period_s)


def test_diverged_physics_and_a_script_without_a_plan_end_the_episode():
    played, _ = play(RampSource(), robot=PointRobot(diverges=lambda step: step == 12))
    assert (played.record.ended, played.record.steps) == ("simulation_failed", 12)

    def no_plan(call):
        raise NoPlan("out of reach")

    played, _ = play(RampSource(trouble=no_plan))
    assert (played.record.ended, played.record.steps) == ("no_plan", 0)
    assert played.record.jerk_rms is None
