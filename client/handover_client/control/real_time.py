"""Chunk requests in the background: the robot goes on while the policy thinks."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from handover_client.control.chunk_sources import ChunkReply, ChunkRequest, ChunkSource
from handover_client.control.requester import ArrivedChunk
from handover_client.control.retries import PASSING, Outage, Retries


@dataclass(frozen=True)
class _Waiting:
    """A request on its way."""

    asked_at: int  # control step
    sequence: int
    reply: Future[ChunkReply]


class RealTimeRequester:
    """Sends each request from a thread of its own; after failures in growing intervals.

    `added_delay_s` returns a delay for each answer. `outages` is where the outages go.
    """

    def __init__(
        self,
        source: ChunkSource,
        period_s: float,
        bound_s: float,
        added_delay_s: Callable[[], float],
        outages: list[Outage],
    ) -> None:
        """period_s: of a control step; bound_s: how long to go on without an answer."""
        self._source, self._period_s, self._bound_s = source, period_s, bound_s
        self._added_delay_s = added_delay_s
        self._outages = outages
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ask")
        self._waiting: _Waiting | None = None
        self._retries: Retries | None = None
        self._was_answered = False
        self._again_at = 0  # control step, after a failure

    @property
    def error(self) -> str:
        """The error of the outage that lasts now; empty while there is none."""
        return self._retries.error if self._retries else ""

    def is_ready(self, step: int) -> bool:
        """Return whether no request is under way, and the pause after a failure is over."""
        return self._waiting is None and step >= self._again_at

    def send(self, step: int, request: ChunkRequest) -> None:
        """Send a request in the background."""
        self._retries = self._retries or Retries(step, self._bound_s)
        reply = self._thread.submit(self._ask, request)
        self._waiting = _Waiting(step, request.sequence, reply)

    def receive(self, step: int) -> ArrivedChunk | None:
        """Return the chunk of the request under way, at a later step than the request's."""
        waiting, retries = self._waiting, self._retries
        if waiting is None or step <= waiting.asked_at or not waiting.reply.done():
            return None
        assert retries is not None
        self._waiting = None
        try:
            reply = waiting.reply.result()
        except PASSING as error:
            self._again_at = step + max(1, round(retries.pause_s(error) / self._period_s))
            return None
        if retries.failures:
            self._outages.append(retries.summary(recovered=True))
        self._retries = None
        return ArrivedChunk(reply, waiting.sequence, waiting.asked_at)

    def close(self) -> None:
        """Give up the request under way; noted are an outage that lasts, and no answer at all.

        Returns at once. The thread ends with its call: at that call's deadline, or when the client
        is closed.
        """
        self._closing.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._retries is not None and (self._retries.failures or not self._was_answered):
            self._outages.append(self._retries.summary(recovered=False))
        self._retries = None

    def _ask(self, request: ChunkRequest) -> ChunkReply:
        reply = self._source.ask(request)
        self._was_answered = True
        delay_s = self._added_delay_s()
        self._closing.wait(delay_s)
        return replace(reply, latency_ms=reply.latency_ms + 1e3 * delay_s)
