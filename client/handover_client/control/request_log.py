"""Log of what happened between robot and policy during one episode."""

from collections import Counter
from dataclasses import dataclass, field

from handover_proto import PrefixMethod

from handover_client.control.chunk_player import ChunkPlayer
from handover_client.control.chunk_sources import ChunkReply
from handover_client.control.retries import Outage
from handover_client.results.latency import STAGES


@dataclass
class RequestLog:
    """Latencies, outages, and the times when the robot had nothing left to play."""

    latency_ms: list[float] = field(default_factory=list)
    stage_ms: dict[str, list[float]] = field(
        default_factory=lambda: {stage: [] for stage in STAGES}
    )
    outages: list[Outage] = field(default_factory=list)
    delays: list[tuple[int, int]] = field(default_factory=list)
    """Of each continued chunk: the policy's steps it was expected to take, and those it took"""
    prefix_methods: Counter[str] = field(default_factory=Counter)
    """How the policy continued what was left to play: {"guided" or "learned": chunks}"""
    dropped_steps: int = 0
    dry_steps: int = 0
    dry_spells: list[int] = field(default_factory=list)
    _was_dry: bool = False

    def add(self, answer: ChunkReply) -> None:
        """Note how it was continued, and a server's latency as the robot and as it measured it."""
        if answer.prefix_method is not PrefixMethod.NONE:
            self.prefix_methods[answer.prefix_method.name.lower()] += 1
        if answer.durations is None:
            return
        self.latency_ms.append(round(answer.latency_ms, 3))
        for stage in STAGES:
            self.stage_ms[stage].append(round(getattr(answer.durations, f"{stage}_ms"), 3))

    def watch(self, player: ChunkPlayer, step: int) -> None:
        """Note whether the robot holds its last target for want of a chunk."""
        is_dry = player.is_dry(step)
        if is_dry:
            self.dry_steps += 1
            if not self._was_dry:
                self.dry_spells.append(step)
        self._was_dry = is_dry
