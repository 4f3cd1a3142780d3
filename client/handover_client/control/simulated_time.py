"""Chunk requests on a simulation's own clock: an answer is there a set time after its observation.

The robot goes on meanwhile as it does on the wall clock, but neither a slow server nor a busy
machine changes what comes of an episode: the same seeds and latency give the same episodes. With no
latency this is lockstep: the simulation stands still while the policy thinks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from handover_client.control.chunk_sources import ChunkRequest, ChunkSource
from handover_client.control.requester import ArrivedChunk
from handover_client.control.retries import Outage, Retries, request_with_retries
from handover_client.errors import ServerLost

_ROUNDING_S = 1e-9  # 0.1 s are five periods of 0.02 s, whatever their binary fractions say


@dataclass(frozen=True)
class _Coming:
    """A chunk on its way."""

    chunk: ArrivedChunk
    there_at: int  # the first control step that can play it


class SimulatedTimeRequester:
    """Waits for each answer, and gives it out when its delay is over; again after failures.

    `delay_s` returns how long each answer takes, in simulated time. The latencies that are noted
    are the true ones. `outages` is where the outages go.
    """

    error = ""  # the simulation waits while an outage lasts

    def __init__(
        self,
        source: ChunkSource,
        period_s: float,
        bound_s: float,
        delay_s: Callable[[], float],
        outages: list[Outage],
    ) -> None:
        """period_s: of a control step; bound_s: how long to go on without an answer."""
        self._source, self._period_s, self._bound_s = source, period_s, bound_s
        self._delay_s = delay_s
        self._outages = outages
        self._coming: _Coming | None = None

    def is_ready(self, step: int) -> bool:
        """Return whether no chunk is on its way."""
        return self._coming is None

    def send(self, step: int, request: ChunkRequest) -> None:
        """Ask until there is an answer; raises ServerLost past the bound."""
        retries = Retries(step, self._bound_s)
        try:
            reply = request_with_retries(self._source, request, retries)
        except ServerLost:
            self._outages.append(retries.summary(recovered=False))
            raise
        if retries.failures:
            self._outages.append(retries.summary(recovered=True))
        lag = ceil((self._delay_s() - _ROUNDING_S) / self._period_s)
        chunk = ArrivedChunk(reply, request.sequence, step)
        self._coming = _Coming(chunk, step + max(0, lag))

    def receive(self, step: int) -> ArrivedChunk | None:
        """Return the chunk whose delay is over by a control step."""
        coming = self._coming
        if coming is None or step < coming.there_at:
            return None
        self._coming = None
        return coming.chunk

    def close(self) -> None:
        """Leave: the server has answered all that it was asked."""
