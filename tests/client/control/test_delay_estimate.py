"""The expected delay follows the answers' lags, and not the single late one."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from handover_client.control import ChunkReply
from handover_client.control.requester import LAGS_REMEMBERED, DelayEstimate, EnvelopeWatch
from handover_proto.types import LatencyEnvelope, StageDurations

from ..stand_ins import HORIZON, SEEING
from .test_simulated_time import play

POLICY = Fraction(2, 5)  # 20 Hz at 50 Hz of control


def estimate_after(lags):
    estimate = DelayEstimate()
    for lag in lags:
        estimate.add(lag)
    return estimate.policy_steps(Fraction(1))


def test_nothing_is_expected_before_the_first_answer():
    assert DelayEstimate().policy_steps(POLICY) == 0


def test_the_first_answer_is_what_is_expected_of_the_second():
    assert estimate_after([7]) == 7


def test_one_late_answer_in_twenty_is_not_expected_again():
    lags = [5] * 12 + [40] + [5] * 7
    assert estimate_after(lags) == 5


def test_three_late_answers_in_twenty_are():
    assert estimate_after([5] * 17 + [12] * 3) == 12


def test_it_rises_at_once_and_falls_by_a_step_at_a_time():
    rising = [2] * 3 + [10]
    assert estimate_after(rising) == 10
    fallen = [10] * 3 + [2] * LAGS_REMEMBERED
    estimate = DelayEstimate()
    seen = []
    for lag in fallen:
        estimate.add(lag)
        seen.append(estimate.policy_steps(Fraction(1)))
    assert all(before - after in (0, 1) for before, after in itertools.pairwise(seen))
    assert seen[-1] < 10


def test_it_is_counted_in_whole_steps_of_the_policy_rounded_up():
    estimate = DelayEstimate()
    estimate.add(6)  # 120 ms at 50 Hz: 2.4 steps of 50 ms
    assert estimate.policy_steps(POLICY) == 3


class GoesOn:
    """Continues the given steps at the speed at which they end; its own speed changes each time."""

    spec = SEEING

    def __init__(self):
        self.expected = []

    def ask(self, request):
        slope = 0.01 if len(self.expected) % 2 else 0.03
        given = 0 if request.rest is None else request.delay_steps
        start = request.rest[0, 0] if given else 0.0
        steps = start + slope * np.arange(HORIZON)
        if given:
            steps[:given] = request.rest[:given, 0]
            steps[given:] = steps[given - 1] + slope * np.arange(1, HORIZON - given + 1)
        self.expected.append(request.delay_steps)
        targets = np.repeat(steps[:, None], 14, axis=1).astype(np.float32)
        return ChunkReply(targets, 5.0, StageDurations(queue_ms=1.0))


def jumps(episode):
    """The largest change from one control step to the next at borders after the first."""
    moves = np.abs(np.diff(episode.targets[:, 0]))
    return max(moves[border - 1] for border in episode.record.borders[1:])


def test_an_expected_delay_that_changes_makes_no_jump_while_it_suffices():
    # it rises with the first late answers and then falls, one control step with every answer
    late = [0.2] * 4 + [0.1] * 40
    source = GoesOn()
    episode = play(source, switching="rtc", delays=late, max_steps=600)
    seen = [expected for expected, _ in episode.record.delays]
    assert len(set(seen)) > 2
    assert all(expected >= came for expected, came in episode.record.delays)
    a_step = 0.03 + 1e-6  # of the faster chunk, which begins right after the given steps
    assert jumps(episode) <= a_step
    too_short = play(GoesOn(), switching="rtc", delays=late, max_steps=600, wrong_by=-2)
    assert jumps(too_short) > 1.5 * a_step
    pairs = zip(episode.record.delays, too_short.record.delays, strict=True)
    assert all(wrong[0] == max(0, right[0] - 2) for right, wrong in pairs)


TASK = "hand it over"


def watch(*envelopes, switching="rtc"):
    spec = dataclasses.replace(SEEING, checkpoint_name="mini", latency_envelopes=envelopes)
    return EnvelopeWatch(spec, TASK, switching, 0.02)


def envelope(latency_ms, task=TASK, switching="rtc"):
    return LatencyEnvelope(task, switching, latency_ms, latency_ms / 10, 100)


def test_what_a_checkpoint_was_not_measured_at_is_warned_of_once():
    watched = watch(envelope(300.0))
    assert not watched.watch(17)  # 340 ms at most: no more than 320 is certain
    assert not watched.warning
    assert watched.watch(18)  # more than 340 ms
    assert (
        "chunks come more than 340 ms after what they answer was seen; mini was measured"
        in watched.warning
    )
    assert "up to 300 ± 30 ms (rtc, 100 episodes" in watched.warning
    assert not watched.watch(30)


@pytest.mark.parametrize(
    ("envelopes", "limit"),
    [
        ((envelope(100.0), envelope(400.0, "another task")), 100),
        ((envelope(400.0, "another task"), envelope(200.0, "a third")), 200),
        ((envelope(100.0, switching="naive"),), None),
        ((), None),
    ],
)
def test_the_instructions_own_envelope_counts_else_the_smallest(envelopes, limit):
    watched = watch(*envelopes)
    watched.watch(60)
    assert (f"up to {limit} ±" in watched.warning) == (limit is not None)
