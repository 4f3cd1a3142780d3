"""Replay of recorded requests: their answers, compared with what a server answers now."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from handover_proto import (
    Damage,
    Overloaded,
    PolicyError,
    RecordedAnswer,
    RecordedRequest,
    read_recording,
)
from handover_proto import policy_pb2 as pb

from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.requests import SealedRequest
from handover_client.errors import EvaluationError

_MOST_OPEN = 1024  # requests whose answer has not been read yet; a server has fewer under way
_ATTEMPTS = 20  # at a server that is full


@dataclass
class ReplayCounts:
    """Counts of a recording's requests and answers, and of the server's answers now."""

    requests: int = 0
    damaged: list[Damage] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    checkpoints: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    identical: int = 0
    refused: int = 0
    first: str = ""

    def describe(self, served_hash: str) -> str:
        """Write the counts, one fact per line."""
        answered = sum(self.outcomes.values())
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        others = {name: count for name, count in self.checkpoints.items() if name != served_hash}
        facts = {
            "recorded": f"{self.requests} requests; answers: {outcomes or 'none'}; "
            f"{self.requests - answered} without",
            "damaged": _describe_damage(self.damaged),
            "sent again": f"{self.sent}",
            "identical": f"{self.identical}",
            "different": f"{self.sent - self.identical - self.refused}, refused {self.refused}",
            "checkpoint": f"the server has {served_hash[:12] or 'no hash'}"
            + "".join(
                f"; {count} were answered by another, {name[:12] or 'no hash'}"
                for name, count in others.items()
            ),
        }
        if self.first:
            facts["first"] = self.first
        return "\n".join(f"{name:<12}{fact}" for name, fact in facts.items())

    def check(self, recording: Path) -> None:
        """Raise EvaluationError unless there were answers, and all are bit-identical."""
        if not self.sent:
            raise EvaluationError(f"{recording} holds no request that was answered by a chunk")
        if self.identical < self.sent:
            raise EvaluationError(
                f"{self.sent - self.identical} of {self.sent} answers are not what was recorded"
            )


def compare_recording(folder: Path, client: PolicyClient, limit: int | None) -> ReplayCounts:
    """Send what was answered by a chunk again, in order; raises RecordingError, PolicyError."""
    found = ReplayCounts()
    for request, answer in islice(_answered(folder, found), limit):
        try:
            message = pb.InferRequest.FromString(request.message)
        except DecodeError:
            continue  # no server could have answered it: it was damaged before its checksum
        message.seed = answer.seed
        message.ClearField("max_age_ms")
        found.sent += 1
        found.checkpoints[answer.checkpoint_hash] += 1
        try:
            action = _ask(client, SealedRequest.of(message))
        except PolicyError as error:
            found.refused += 1
            difference = str(error)
        else:
            difference = first_difference(answer.action, action)
            found.identical += not difference
        if difference and not found.first:
            found.first = f"request {request.number}, sequence {message.sequence}: {difference}"
    return found


def _answered(
    folder: Path, found: ReplayCounts
) -> Iterator[tuple[RecordedRequest, RecordedAnswer]]:
    """Pair requests with their chunks; everything else is counted in `found`."""
    waiting: dict[tuple[str, int], RecordedRequest] = {}
    for record in read_recording(folder):
        if isinstance(record, Damage):
            found.damaged.append(record)
        elif isinstance(record, RecordedRequest):
            found.requests += 1
            waiting[record.session, record.number] = record
            if len(waiting) > _MOST_OPEN:
                del waiting[next(iter(waiting))]
        elif isinstance(record, RecordedAnswer):
            request = waiting.pop((record.session, record.number), None)
            if request is None:
                continue  # its request was deleted with an older segment, or dropped
            found.outcomes[record.outcome] += 1
            if record.action:
                yield request, record


def _ask(client: PolicyClient, request: SealedRequest) -> Mapping[str, np.ndarray]:
    for _ in range(_ATTEMPTS):
        try:
            return client.exchange(request).action
        except Overloaded as error:
            time.sleep(error.retry_after_s)
    return client.exchange(request).action


def first_difference(recorded: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> str:
    """Describe the first place at which two chunks differ; empty where every bit is the same."""
    if set(recorded) != set(now):
        return f"the groups are {', '.join(sorted(now))}, recorded {', '.join(sorted(recorded))}"
    for name, before in recorded.items():
        after = now[name]
        if before.shape != after.shape or before.dtype != after.dtype:
            return f"{name} is {after.dtype} {after.shape}, recorded {before.dtype} {before.shape}"
        if before.tobytes() != after.tobytes():
            step, column = np.argwhere(before != after)[0] if np.any(before != after) else (0, 0)
            return (
                f"{name}, step {step}, value {column}: {after[step, column]:.9g}, "
                f"recorded {before[step, column]:.9g}"
            )
    return ""


def _describe_damage(damaged: list[Damage]) -> str:
    if not damaged:
        return "nothing"
    first = damaged[0]
    return (
        f"{len(damaged)} place(s) skipped, {sum(each.size for each in damaged)} bytes; the first: "
        f"{first.reason}, byte {first.offset} of {first.segment.name}"
    )
