"""Retries of chunk requests within a bound, and the outages that they make up."""

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

from handover_client.control.chunk_sources import ChunkReply, ChunkRequest, ChunkSource
from handover_client.errors import ServerLost

# A server that is late, restarts or fails once; every other error would come again.
PASSING = (ServerUnavailable, DeadlinePassed, Overloaded, PolicyFailed, Superseded)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_LONGEST_WAIT_S = 5.0  # that an overloaded server is given: a robot holds still meanwhile


@dataclass(frozen=True)
class Outage:
    """Time without chunks, from the first request that failed to the next answer."""

    step: int  # the control step of that request
    error: str
    failures: int
    lasted_s: float
    recovered: bool


class Retries:
    """Failures since a request: when to try again, and for how long."""

    def __init__(
        self, step: int, bound_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step, self._bound_s, self._clock = step, bound_s, clock
        self._since_s = clock()
        self._pause_s = _FIRST_PAUSE_S
        self.failures = 0
        self.error = ""
        """The first failure's; empty before it."""

    def pause_s(self, error: PolicyError) -> float:
        """Count a failure; returns the pause before the next try, or raises ServerLost."""
        self.failures += 1
        self.error = self.error or f"{type(error).__name__}: {error}"
        left_s = self._bound_s - (self._clock() - self._since_s)
        if left_s <= 0:
            raise ServerLost(f"no chunk for {self._bound_s:g} s: {error}") from error
        pause_s = min(self._pause_s, left_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if isinstance(error, Overloaded):
            pause_s = min(max(pause_s, min(error.retry_after_s, _LONGEST_WAIT_S)), left_s)
        return pause_s

    def summary(self, recovered: bool) -> Outage:
        """Return the failures as one outage."""
        lasted_s = self._clock() - self._since_s
        error = self.error or "no answer yet"
        return Outage(self._step, error, self.failures, round(lasted_s, 3), recovered)


def request_with_retries(
    source: ChunkSource, request: ChunkRequest, retries: Retries
) -> ChunkReply:
    """Ask until there is an answer; `retries` knows afterwards how often it failed.

    Raises ServerLost past the bound, and at once every error that would come again.
    """
    while True:
        try:
            return source.ask(request)
        except PASSING as error:
            time.sleep(retries.pause_s(error))
