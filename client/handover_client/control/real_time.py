"""Real time: the robot goes on while the policy thinks, as it does on a table of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.chunk_sources import ChunkReply, RobotObservation
from handover_client.control.onlooker import ObservationBuilder
from handover_client.control.requester import RequestContext
from handover_client.control.retries import PASSING, Retries
from handover_client.control.wall_clock import WallClock


class RealTimeRequester:
    """Asks in the background, one request at a time, early enough that the chunk does not run dry.

    Until an answer is there the player goes on with what it has. After a failure it is asked again
    with a fresh look, in growing intervals. `added_delay_s` gives a delay for each answer.
    """

    def __init__(
        self, inquiry: RequestContext, period_s: float, added_delay_s: Callable[[], float]
    ) -> None:
        self._inquiry = inquiry
        self._period_s = period_s
        self._added_delay_s = added_delay_s
        self._clock: WallClock | None = None
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ask")
        self._waiting: tuple[int, Future[ChunkReply]] | None = None
        self._retries: Retries | None = None
        self._was_answered = False
        self._onlooker = ObservationBuilder(inquiry)
        self._due = 0

    @property
    def late_steps(self) -> int:
        """How many control steps began more than one period late."""
        return self._clock.late_steps if self._clock else 0

    def before(self, step: int, player: ChunkPlayer) -> None:
        """Wait for the step's time, take an answer that is there, and ask when it is time."""
        if self._clock is None:
            self._clock = WallClock(self._period_s)
        self._clock.wait_for(step)
        if self._waiting is not None and self._waiting[1].done():
            self._take(step, player)
        if self._waiting is None and step >= self._due:
            with self._clock.standing_still():  # a real camera's frames cost the robot no time
                sight = self._onlooker.look(step, player)
            self._retries = self._retries or Retries(step, self._inquiry.bound_s)
            self._waiting = step, self._thread.submit(self._ask, sight)

    def close(self) -> None:
        """Give up the request under way; noted are an outage that lasts, and no answer at all."""
        self._closing.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._retries is not None and (self._retries.failures or not self._was_answered):
            self._inquiry.log.outages.append(self._retries.outage(recovered=False))
        self._retries = None

    def _ask(self, sight: RobotObservation) -> ChunkReply:
        answer = self._inquiry.source.ask(sight)
        self._was_answered = True
        delay_s = self._added_delay_s()
        self._closing.wait(delay_s)
        return replace(answer, latency_ms=answer.latency_ms + 1e3 * delay_s)

    def _take(self, step: int, player: ChunkPlayer) -> None:
        assert self._waiting is not None
        assert self._retries is not None
        asked_at, future = self._waiting
        self._waiting = None
        try:
            answer = future.result()
        except PASSING as error:
            pause_s = self._retries.pause_s(error)
            self._due = step + max(1, round(pause_s / self._period_s))
            return
        inquiry, log = self._inquiry, self._inquiry.log
        if self._retries.failures:
            log.outages.append(self._retries.outage(recovered=True))
        self._retries = None
        log.add(answer)
        log.dropped_steps += player.add(answer.targets, observed_at=asked_at, now=step)
        lag = step - asked_at
        self._onlooker.note_lag(lag)
        self._due = inquiry.schedule.due_after(asked_at, expected_lag=lag)
