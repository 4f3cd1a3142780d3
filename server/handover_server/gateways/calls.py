"""A gateway's requests on the way of all requests: the same bounds, queues, deadlines, policy."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence

from handover_proto import InvalidRequest, PolicyError, PolicyOutput, PolicyRequest
from handover_proto.wire import serialize_request

from handover_server.inference.admission import Admission, Admitted
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead

DEADLINE_S = 30.0  # neither protocol carries one, and nothing here waits for ever

GatewayReply = tuple[PendingRequest, PolicyOutput]


async def ask(
    intake: Admission, requests: Sequence[PolicyRequest], lanes: Sequence[Lane]
) -> list[GatewayReply]:
    """Answer requests that belong together, each in its own lane; raises the first PolicyError.

    They go on as messages of policy.proto, so that every rule for those holds here too.
    Cancelling this withdraws those that the policy has not started on.
    """
    deadline = time.monotonic() + DEADLINE_S
    async with _withdrawn_at_the_end() as entered:
        for request, lane in zip(requests, lanes, strict=True):
            data = serialize_request(request)
            head = RequestHead(request.sequence)  # arrays: no image is compressed
            entered.append(intake.enter(data, head, lane, deadline))
        answers = []
        for ticket, outcome in [await future for future in entered]:
            if isinstance(outcome, PolicyError):
                raise outcome
            answers.append((ticket, outcome))
        return answers


@contextlib.asynccontextmanager
async def _withdrawn_at_the_end() -> AsyncIterator[list[Admitted]]:
    entered: list[Admitted] = []
    try:
        yield entered
    finally:
        for future in entered:
            future.cancel()  # nothing happens to one that is done


@contextlib.contextmanager
def refusals_counted(intake: Admission) -> Iterator[None]:
    """Count what is refused before it is a request at all, as the gRPC side does."""
    try:
        yield
    except InvalidRequest:
        intake.observer.refused("invalid")
        raise


async def unless_gone(answering: "asyncio.Task[bytes]", gone: "asyncio.Task[None]") -> bytes | None:
    """Wait for an answer; None, and the request is withdrawn, when its client goes first."""
    try:
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else None
    finally:
        answering.cancel()
