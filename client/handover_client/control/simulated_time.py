"""Chunk requests on a simulation's own clock: an answer is there a set time after its observation.

The robot goes on meanwhile as it does on the wall clock, but neither a slow server nor a busy
machine changes what comes of an episode: the same seeds and latency give the same episodes. With no
latency this is lockstep: the simulation stands still while the policy thinks.
"""

from math import ceil

from handover_client.control.chunk_sources import ChunkReply, ChunkRequest
from handover_client.control.requester import ChunkRequester
from handover_client.control.retries import Retries, request_with_retries
from handover_client.errors import ServerLost

_ROUNDING_S = 1e-9  # 0.1 s are five periods of 0.02 s, whatever their binary fractions say


class SimulatedTimeRequester(ChunkRequester):
    """Waits for each answer, and gives it out when its latency in simulated time is over.

    The latencies that are noted are the true ones.
    """

    # the chunk on its way, and the first control step that can play it
    _coming: tuple[int, ChunkRequest, ChunkReply] | None = None

    def is_ready(self, step: int) -> bool:
        """Return whether no chunk is on its way."""
        return self._coming is None

    def send(self, request: ChunkRequest) -> None:
        """Ask until there is an answer; raises ServerLost past the bound."""
        retries = Retries(request.step, self._bound_s)
        try:
            reply = request_with_retries(self._source, request, retries)
        except ServerLost:
            self._outages.append(retries.summary(recovered=False))
            raise
        if retries.failures:
            self._outages.append(retries.summary(recovered=True))
        lag = ceil((self._latency_s() - _ROUNDING_S) / self._period_s)
        self._coming = request.step + max(0, lag), request, reply

    def receive(self, step: int) -> tuple[ChunkRequest, ChunkReply] | None:
        """Return the request whose latency is over by a control step, and its reply."""
        if self._coming is None or step < self._coming[0]:
            return None
        _, request, reply = self._coming
        self._coming = None
        return request, reply
