"""The wall clock of real-time rollouts, on a clock that the test moves."""

import pytest
from handover_client.control.real_time import WallClock


class FakeTime:
    def __init__(self):
        self.now = 100.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def clock(time):
    return WallClock(0.02, lambda: time.now, time.sleep)


def test_steps_are_a_period_apart(clock, time):
    for step in range(5):
        clock.wait_for(step)
        assert time.now == pytest.approx(100 + 0.02 * step)
        time.now += 0.004  # what the step takes


def test_standing_still_takes_nothing_from_the_episode(clock, time):
    clock.wait_for(1)
    with clock.standing_still():
        time.now += 7.0
    clock.wait_for(2)
    assert time.now == pytest.approx(100 + 7 + 0.04)
    assert clock.late_steps == 0


def test_a_step_that_begins_late_is_counted_and_caught_up_on(clock, time):
    time.now += 0.05
    clock.wait_for(1)  # 30 ms late: more than a period
    clock.wait_for(2)  # 10 ms late
    assert clock.late_steps == 1
    clock.wait_for(3)
    assert time.now == pytest.approx(100.06)
