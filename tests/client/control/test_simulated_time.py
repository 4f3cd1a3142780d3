"""Real time on the simulation's own clock, and the three ways from chunk to chunk."""

import dataclasses
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import pytest
from handover_client.control import ChunkReply, ChunkRequest, RealTimeController
from handover_client.rollout.loop import EpisodeSetup, play_episode
from handover_proto.errors import ServerUnavailable
from handover_proto.types import PolicySpec, StageDurations

from ..stand_ins import BLIND, HORIZON, PointRobot, RampSource


@dataclass
class Undecided:
    """Wants another constant each time; goes on from the rest where it is given one."""

    spec: PolicySpec = BLIND
    requests: list[ChunkRequest] = field(default_factory=list)

    def ask(self, request: ChunkRequest) -> ChunkReply:
        self.requests.append(request)
        targets = np.full((HORIZON, 14), float(len(self.requests) % 2), np.float32)
        if request.rest is not None:
            targets[: len(request.rest)] = request.rest
        return ChunkReply(targets, 5.0, StageDurations(queue_ms=1.0))


def play(
    source,
    delay_s=0.0,
    switching="naive",
    delays=None,
    max_steps=100,
    execute_steps=8,
    bound_s=60.0,
    wrong_by=0,
):
    """Play one episode whose answers take so long in simulated time: 0 is lockstep."""
    robot = PointRobot(goals=(9.0, 9.0, 9.0, 9.0))
    robot.reset(seed=0)
    left = iter(delays) if delays is not None else repeat(delay_s)
    controller = RealTimeController(
        source,
        "task",
        50.0,
        switching,
        execute_steps=execute_steps,
        reconnect_s=bound_s,
        clock="simulated",
        added_latency_s=lambda: next(left),
        delay_error_steps=wrong_by,
    )

    def observe():
        return robot.state, np.zeros((8, 8, 3), np.uint8) if source.spec.cameras else None

    setup = EpisodeSetup(3, 1003, max_steps, 50.0)
    return play_episode(robot, controller, observe, None, setup)


def test_answers_that_take_no_time_are_lockstep():
    played = play(RampSource())
    expected = np.float32(0.05) * np.arange(100) * 0.4  # from the very step of the observation
    np.testing.assert_allclose(played.targets[:, 0], expected, atol=1e-6)
    assert played.record.borders == [20, 40, 60, 80]
    assert played.record.dropped_steps == played.record.dry_steps == 0


@pytest.mark.parametrize(
    ("delay_s", "steps"), [(0.1, 5), (0.3, 15), (0.14, 7), (0.09, 5), (0.02, 1)]
)
def test_an_answer_is_there_its_delay_after_its_observation(delay_s, steps):
    played = play(Undecided(), delay_s)
    changes = np.flatnonzero(np.diff(played.targets[:, 6])) + 1  # a gripper jumps from 0 to 1
    np.testing.assert_array_equal(changes, [steps, *(20 * k + steps for k in range(1, 5))])
    assert set(played.record.latency_ms) == {5.0}  # what it took in truth
    assert played.record.late_steps == played.record.dry_steps == 0
    np.testing.assert_array_equal(played.targets, play(Undecided(), delay_s).targets)


def test_the_next_chunk_is_asked_for_before_this_one_ends():
    played = play(RampSource(), delay_s=0.3, max_steps=200, execute_steps=16)
    assert played.record.dry_steps == 0  # 10 of 16 steps are played while 6 are on their way
    assert played.record.borders == [40, 65, 90, 115, 140, 165, 190]


@pytest.mark.parametrize(("delay_s", "delay_steps"), [(0.0, 0), (0.1, 2), (0.12, 3), (0.3, 6)])
def test_rtc_tells_what_is_still_to_play_and_how_much_of_it_will_be(delay_s, delay_steps):
    source = Undecided()
    played = play(source, delay_s, "rtc")
    assert source.requests[0].rest is None
    second = source.requests[1]
    np.testing.assert_array_equal(second.rest, np.ones((8, 14)))
    assert {request.delay_steps for request in source.requests[1:]} == {delay_steps}
    assert played.record.borders == play(Undecided(), delay_s).record.borders


def test_rtc_expects_a_quantile_of_the_last_lags_that_falls_slowly():
    source = Undecided()
    played = play(source, switching="rtc", delays=[0.1, 0.2, 0.1, *[0.0] * 20], max_steps=400)
    told = [request.delay_steps for request in source.requests[1:]]
    assert told[:9] == [2, 4, 4, 4, 4, 4, 4, 4, 4]
    # of ten lags one may be longer: from 10 control steps down to 5, one with each answer
    assert told[9:14] == [4, 4, 3, 3, 2]
    assert played.record.delays[:3] == [[2, 4], [4, 2], [4, 0]]  # expected, came


def test_the_ensemble_is_the_weighted_mean_of_what_covers_a_moment():
    played = play(Undecided(), 0.1, "ensemble", max_steps=46)
    old, new = 1.0, np.exp(-0.01)
    assert (played.targets[5:25] == 1).all()  # the first chunk alone
    np.testing.assert_allclose(played.targets[25:40], old / (old + new), rtol=1e-6)  # 1 and 0
    assert (played.targets[40:45] == 0).all()  # the first one is over, the third not there yet
    np.testing.assert_allclose(played.targets[45], new / (old + new), rtol=1e-6)  # 0 and 1
    assert played.record.borders == [25, 45]


def test_borders_are_smoothest_where_chunks_go_on_from_each_other():
    pulls = {
        switching: play(Undecided(), 0.1, switching).record.border_acceleration
        for switching in ("naive", "ensemble", "crossfade", "rtc", "rtc_crossfade")
    }
    assert pulls["rtc"] == pulls["rtc_crossfade"] == 0
    assert 0 < pulls["crossfade"] < pulls["ensemble"] < pulls["naive"]


def test_the_simulation_waits_for_a_server_that_comes_back():
    def trouble(call):
        if 3 <= call <= 4:
            raise ServerUnavailable("gone")

    undisturbed = play(RampSource(), 0.1)
    played = play(RampSource(trouble=trouble), 0.1)
    np.testing.assert_array_equal(played.targets, undisturbed.targets)
    (outage,) = played.record.outages
    assert (outage.failures, outage.recovered) == (2, True)


def test_a_server_that_stays_away_ends_the_episode():
    def trouble(call):
        if call >= 3:
            raise ServerUnavailable("gone")

    source = dataclasses.replace(RampSource(), trouble=trouble)
    record = play(source, 0.1, bound_s=0.5).record
    assert record.ended == "server_lost"
    assert record.outages[0].recovered is False
