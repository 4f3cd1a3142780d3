"""What a robot looks at before it asks for its next chunk, and what it expects of the answer."""

from collections import deque
from dataclasses import replace
from math import ceil

from handover_client.control.blending import sends_rest
from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.chunk_sources import RobotObservation
from handover_client.control.requester import RequestContext

_LAGS_REMEMBERED = 10  # requests; the longest of their lags is expected of the next


class ObservationBuilder:
    """Looks for the next chunk, and at what is still to play of this one where the policy asks it.

    The lag that it expects is the longest of the last ten, as the paper of real-time chunking has
    it (arXiv:2506.07339): a chunk that comes sooner than expected has nothing to make up for.
    """

    def __init__(self, inquiry: RequestContext) -> None:
        self._inquiry = inquiry
        self._lags: deque[int] = deque(maxlen=_LAGS_REMEMBERED)

    def note_lag(self, control_steps: int) -> None:
        """Remember how many control steps an answer took."""
        self._lags.append(control_steps)

    def look(self, step: int, player: ChunkPlayer) -> RobotObservation:
        """Sense what the next request needs, at a control step."""
        sight = self._inquiry.look(step)
        if not sends_rest(self._inquiry.switching):
            return sight
        rest = player.rest(step)
        if not len(rest):
            return sight
        ratio = self._inquiry.schedule.steps_per_control_step
        delay = ceil(max(self._lags, default=0) * ratio)
        return replace(sight, rest=rest, delay_steps=min(delay, len(rest)))
