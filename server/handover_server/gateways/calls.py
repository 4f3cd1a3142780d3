"""Gateway calls: requests of other protocols take the same path, limits and queues as gRPC's."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from handover_proto import (
    InvalidRequest,
    PolicyError,
    PolicyOutput,
    PolicyRequest,
    StageDurations,
)
from handover_proto.wire import serialize_request

from handover_server.inference.admission import Admission, Admitted
from handover_server.requests.request import Lane
from handover_server.requests.wire_head import RequestHead

DEADLINE_S = 30.0  # neither protocol carries one, and nothing here waits forever


@dataclass(frozen=True)
class Answer:
    """A policy's output, and what gRPC's replies say beside it; neither protocol asks for that."""

    output: PolicyOutput
    seed: int
    checkpoint_hash: str
    durations: StageDurations

    def described(self) -> dict[str, Any]:
        """Return the rest for a message, for Handover's own clients."""
        return {
            "seed": self.seed,
            "checkpoint_hash": self.checkpoint_hash,
            "durations": asdict(self.durations),
        }


async def infer_together(
    admission: Admission, requests: Sequence[PolicyRequest], lanes: Sequence[Lane]
) -> list[Answer]:
    """Compute requests that belong together, each in its own lane; raises the first PolicyError.

    They are passed on as messages of policy.proto, so that every rule for those applies here too.
    Cancelling this withdraws those that the policy has not started on.
    """
    deadline = time.monotonic() + DEADLINE_S
    admitted: list[Admitted] = []
    answers = []
    try:
        for request, lane in zip(requests, lanes, strict=True):
            data = serialize_request(request)
            head = RequestHead(request.sequence)  # arrays: no image is compressed
            admitted.append(admission.admit(data, head, lane, deadline))
        for pending, outcome in [await future for future in admitted]:
            if isinstance(outcome, PolicyError):
                raise outcome
            answers.append(
                Answer(outcome, pending.seed, pending.checkpoint_hash, pending.durations(outcome))
            )
    finally:
        for future in admitted:
            future.cancel()  # without effect on one that is done
    return answers


@contextlib.contextmanager
def refusals_counted(admission: Admission) -> Iterator[None]:
    """Count messages refused before they become requests, as the gRPC side does."""
    try:
        yield
    except InvalidRequest:
        admission.observer.refused("invalid")
        raise


async def unless_gone(answering: "asyncio.Task[bytes]", gone: "asyncio.Task[None]") -> bytes | None:
    """Wait for a reply; returns None, and withdraws the request, when its client leaves first."""
    try:
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        answering.cancel()
