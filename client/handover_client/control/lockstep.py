"""Lockstep: the simulation stands still while the policy thinks."""

from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.requester import RequestContext
from handover_client.control.retries import Retries, request_with_retries
from handover_client.errors import ServerLost


class LockstepRequester:
    """Asks and waits: what comes of an episode does not depend on how fast the answers are."""

    def __init__(self, inquiry: RequestContext) -> None:
        self._inquiry = inquiry
        self._due = 0

    @property
    def late_steps(self) -> int:
        """None: the simulation's time is its own."""
        return 0

    def before(self, step: int, player: ChunkPlayer) -> None:
        """Ask when it is time, and again after failures for as long as the bound allows."""
        if step < self._due:
            return
        inquiry, log = self._inquiry, self._inquiry.log
        retries = Retries(step, inquiry.bound_s)
        try:
            answer = request_with_retries(inquiry.source, inquiry.look(step), retries)
        except ServerLost:
            log.outages.append(retries.outage(recovered=False))
            raise
        if retries.failures:
            log.outages.append(retries.outage(recovered=True))
        log.add(answer)
        player.add(answer.targets, observed_at=step, now=step)
        self._due = inquiry.schedule.due_after(step)

    def close(self) -> None:
        """Leave: nothing is ever under way between two steps."""
