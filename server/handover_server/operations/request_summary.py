"""Requests in the log: a summary a minute, and each one where the level is debug."""

import logging
import time
from collections import Counter

from handover_proto import PolicyOutput

from handover_server.logs import fields
from handover_server.requests.observer import Observer
from handover_server.requests.outcomes import outcome_name
from handover_server.requests.request import Outcome, PendingRequest

logger = logging.getLogger(__name__)

_SUMMARY_S = 60.0


class RequestLog(Observer):
    """Logs what becomes of requests, and nothing of what is in them.

    A summary is written with the first request after a minute: a server that nobody asks is silent.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._since_s = time.monotonic()

    def refused(self, reason: str) -> None:
        """Log that a request was turned away."""
        logger.debug("request refused", extra=fields(reason=reason))
        self._count(f"refused_{reason}")

    def settled(self, ticket: PendingRequest, outcome: Outcome) -> None:
        """Log what became of a request."""
        name = outcome_name(outcome)
        self._count(name)
        if not logger.isEnabledFor(logging.DEBUG):
            return
        stages: dict[str, float] = {"queue_ms": ticket.queue_ms, "decode_ms": ticket.decode_ms}
        if isinstance(outcome, PolicyOutput):
            durations = outcome.durations
            stages |= {
                "preprocess_ms": durations.preprocess_ms,
                "backbone_ms": durations.backbone_ms,
                "action_head_ms": durations.action_head_ms,
            }
        logger.debug(
            "request settled",
            extra=fields(
                client=ticket.lane.client.name,
                sequence=ticket.sequence,
                outcome=name,
                total_ms=1e3 * (time.perf_counter() - ticket.began_s),
                **stages,
                checkpoint=ticket.checkpoint_hash[:12],
            ),
        )

    def _count(self, name: str) -> None:
        self._counts[name] += 1
        passed_s = time.monotonic() - self._since_s
        if passed_s >= _SUMMARY_S:
            logger.info("requests", extra=fields(seconds=passed_s, **self._counts))
            self._counts.clear()
            self._since_s = time.monotonic()
