"""Real time on the simulation's own clock: an answer is there a set time after its observation.

The robot goes on meanwhile as it does on the wall's clock, but neither a slow server nor a busy
machine changes what comes of an episode: the same seeds and latency give the same episodes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.chunk_sources import ChunkReply
from handover_client.control.onlooker import ObservationBuilder
from handover_client.control.requester import RequestContext
from handover_client.control.retries import Retries, request_with_retries
from handover_client.errors import ServerLost

_ROUNDING_S = 1e-9  # 0.1 s are five periods of 0.02 s, whatever their binary fractions say


@dataclass(frozen=True)
class _Coming:
    """An answer on its way."""

    answer: ChunkReply
    asked_at: int  # control step of its observation
    there_at: int  # the first control step that can play it


class SimulatedTimeRequester:
    """Asks as RealTimeAsking does; `delay_s` gives how long each answer takes, in simulated time.

    The simulation waits for the server, as in lockstep, and again after failures. The latencies
    that are noted are the true ones.
    """

    def __init__(
        self, inquiry: RequestContext, period_s: float, delay_s: Callable[[], float]
    ) -> None:
        self._inquiry = inquiry
        self._period_s = period_s
        self._delay_s = delay_s
        self._onlooker = ObservationBuilder(inquiry)
        self._coming: _Coming | None = None
        self._due = 0

    @property
    def late_steps(self) -> int:
        """None: the simulation's time is its own."""
        return 0

    def before(self, step: int, player: ChunkPlayer) -> None:
        """Take an answer that is there by now, and ask when it is time; raises ServerLost."""
        self._take(step, player)
        if self._coming is None and step >= self._due:
            self._coming = self._ask(step, player)
            self._take(step, player)  # an answer that takes no time

    def close(self) -> None:
        """Leave: the server has answered all that it was asked."""

    def _ask(self, step: int, player: ChunkPlayer) -> _Coming:
        inquiry = self._inquiry
        retries = Retries(step, inquiry.bound_s)
        sight = self._onlooker.look(step, player)
        try:
            answer = request_with_retries(inquiry.source, sight, retries)
        except ServerLost:
            inquiry.log.outages.append(retries.outage(recovered=False))
            raise
        if retries.failures:
            inquiry.log.outages.append(retries.outage(recovered=True))
        lag = ceil((self._delay_s() - _ROUNDING_S) / self._period_s)
        return _Coming(answer, step, step + max(0, lag))

    def _take(self, step: int, player: ChunkPlayer) -> None:
        coming = self._coming
        if coming is None or step < coming.there_at:
            return
        self._coming = None
        log, lag = self._inquiry.log, step - coming.asked_at
        log.add(coming.answer)
        log.dropped_steps += player.add(coming.answer.targets, coming.asked_at, now=step)
        self._onlooker.note_lag(lag)
        self._due = self._inquiry.schedule.due_after(coming.asked_at, expected_lag=lag)
