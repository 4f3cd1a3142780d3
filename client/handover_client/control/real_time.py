"""Chunk requests in the background, while the robot goes on; and a wall clock for simulations."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from handover_client.control.chunk_sources import ChunkReply, ChunkRequest
from handover_client.control.requester import ChunkRequester
from handover_client.control.retries import PASSING, Retries


class RealTimeRequester(ChunkRequester):
    """Sends each request from a thread of its own; after failures in growing intervals."""

    def __init__(self, *arguments: Any) -> None:
        """Start the thread; the arguments are ChunkRequester's."""
        super().__init__(*arguments)
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ask")
        self._waiting: tuple[ChunkRequest, Future[ChunkReply]] | None = None
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

    def send(self, request: ChunkRequest) -> None:
        """Send a request in the background."""
        self._retries = self._retries or Retries(request.step, self._bound_s)
        self._waiting = request, self._thread.submit(self._ask, request)

    def receive(self, step: int) -> tuple[ChunkRequest, ChunkReply] | None:
        """Return the request under way and its reply, at a later step than the request's."""
        if self._waiting is None or self._retries is None:
            return None
        request, future = self._waiting
        if step <= request.step or not future.done():
            return None
        self._waiting = None
        try:
            reply = future.result()
        except PASSING as error:
            pause_s = self._retries.pause_s(error)
            self._again_at = step + max(1, round(pause_s / self._period_s))
            return None
        if self._retries.failures:
            self._outages.append(self._retries.summary(recovered=True))
        self._retries = None
        return request, reply

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
        added_s = self._latency_s()
        self._closing.wait(added_s)
        return replace(reply, latency_ms=reply.latency_ms + 1e3 * added_s)


class WallClock:
    """Pace of a simulation's control steps; stands still for what costs a robot no time."""

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
