"""Clocks that pace a simulation's control steps: the wall's, or one that stands still."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class WallClock:
    """Wall clock; stands still while the simulator does what a robot gets for free."""

    def __init__(
        self,
        period_s: float,
        now_s: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period_s, self._now_s, self._sleep = period_s, now_s, sleep
        self._start_s = now_s()
        self.late_steps = 0

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Leave the time that the block takes out of the episode: that of drawing a frame."""
        stopped_s = self._now_s()
        try:
            yield
        finally:
            self._start_s += self._now_s() - stopped_s

    def wait_for(self, step: int) -> None:
        """Wait until a control step's time; one that is more than a period late is counted."""
        left_s = self._start_s + step * self._period_s - self._now_s()
        if left_s > 0:
            self._sleep(left_s)
        elif left_s < -self._period_s:
            self.late_steps += 1


class StandingClock:
    """Clock of a simulation that waits for its policy: nothing waits for it, no step is late."""

    late_steps = 0

    def standing_still(self) -> AbstractContextManager[None]:
        """Do nothing: it stands still anyway."""
        return nullcontext()

    def wait_for(self, step: int) -> None:
        """Return at once."""
