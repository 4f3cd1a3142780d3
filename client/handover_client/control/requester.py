"""What the two ways of asking for chunks, in lockstep and in real time, have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from handover_client.control.blending import Switching
from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.chunk_sources import ChunkSource, RobotObservation
from handover_client.control.request_log import RequestLog
from handover_client.control.request_schedule import RequestSchedule

ObserveFn = Callable[[int], RobotObservation]  # what the robot senses at a control step


@dataclass(frozen=True)
class RequestContext:
    """What both ways need: whom to ask, when, with what, for how long, and where it is noted."""

    source: ChunkSource
    schedule: RequestSchedule
    look: ObserveFn
    log: RequestLog
    bound_s: float  # how long to go on without an answer
    switching: Switching = "naive"


class ChunkRequester(Protocol):
    """Gives a player its chunks, and a control step its time."""

    @property
    def late_steps(self) -> int:
        """How many control steps began more than a period late."""
        ...

    def before(self, step: int, player: ChunkPlayer) -> None:
        """Do what is due before a control step; raises ServerLost, and PolicyError if final."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...
