"""What a rollout does when the server gives no chunk: tries again, within a bound."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from handover_proto import (
    DeadlinePassed,
    Overloaded,
    PolicyError,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
)

from handover_client.control.chunk_sources import ChunkReply, ChunkSource, RobotObservation
from handover_client.errors import ServerLost

# A server that is late, restarts or fails once; every other error would come again.
PASSING = (ServerUnavailable, DeadlinePassed, Overloaded, PolicyFailed, Superseded)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Outage:
    """A time without chunks, from the first request that failed to the next answer."""

    step: int  # the control step of that request
    error: str
    failures: int
    lasted_s: float
    recovered: bool


class Retries:
    """The failures since a request: when to try again, and for how long."""

    def __init__(
        self, step: int, bound_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step, self._bound_s, self._clock = step, bound_s, clock
        self._since_s = clock()
        self._pause_s = _FIRST_PAUSE_S
        self.failures = 0
        self._error = ""

    def pause_s(self, error: PolicyError) -> float:
        """Count a failure and give the pause before the next try; ServerLost past the bound."""
        self.failures += 1
        self._error = self._error or f"{type(error).__name__}: {error}"
        left_s = self._bound_s - (self._clock() - self._since_s)
        if left_s <= 0:
            raise ServerLost(f"no chunk for {self._bound_s:g} s: {error}") from error
        pause_s = min(self._pause_s, left_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if isinstance(error, Overloaded):
            pause_s = min(max(pause_s, error.retry_after_s), left_s)
        return pause_s

    def outage(self, recovered: bool) -> Outage:
        """Sum the failures up."""
        lasted_s = self._clock() - self._since_s
        error = self._error or "no answer yet"
        return Outage(self._step, error, self.failures, round(lasted_s, 3), recovered)


def request_with_retries(
    source: ChunkSource, sight: RobotObservation, retries: Retries
) -> ChunkReply:
    """Ask until there is an answer; `retries` knows afterwards how often it failed.

    Raises ServerLost past the bound, and at once every error that would come again.
    """
    while True:
        try:
            return source.ask(sight)
        except PASSING as error:
            time.sleep(retries.pause_s(error))
