"""Request summary: a log line a minute, and a line per request at level debug."""

import logging
import time
from collections import Counter
from dataclasses import asdict

from handover_proto import PolicyOutput

from handover_server.logs import fields
from handover_server.requests.observer import Observer
from handover_server.requests.outcome import Outcome, outcome_name
from handover_server.requests.request import PendingRequest

logger = logging.getLogger(__name__)

SUMMARY_S = 60.0


class RequestSummary(Observer):
    """Logs the outcomes of requests, and nothing of their contents.

    A summary is written with the first request after a minute: an idle server is silent.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._since_s = time.monotonic()

    def refused(self, reason: str) -> None:
        """Log a refusal."""
        logger.debug("request refused", extra=fields(reason=reason))
        self._count(f"refused_{reason}")

    def settled(self, pending: PendingRequest, outcome: Outcome) -> None:
        """Log an outcome."""
        name = outcome_name(outcome)
        self._count(name)
        if not logger.isEnabledFor(logging.DEBUG):
            return
        stages: dict[str, float] = {"queue_ms": pending.queue_ms, "decode_ms": pending.decode_ms}
        if isinstance(outcome, PolicyOutput):
            stages = asdict(pending.durations(outcome))
            del stages["encode_ms"]  # not known yet
        logger.debug(
            "request settled",
            extra=fields(
                client=pending.lane.client.name,
                sequence=pending.sequence,
                outcome=name,
                total_ms=1e3 * (time.perf_counter() - pending.began_s),
                **stages,
                checkpoint=pending.checkpoint_hash[:12],
            ),
        )

    def _count(self, name: str) -> None:
        self._counts[name] += 1
        passed_s = time.monotonic() - self._since_s
        if passed_s >= SUMMARY_S:
            logger.info("requests", extra=fields(seconds=passed_s, **self._counts))
            self._counts.clear()
            self._since_s = time.monotonic()
