"""Bytes to requests: files are decompressed in a few threads of their own, where nobody waits."""

import threading
from collections.abc import Callable

from google.protobuf.message import DecodeError
from handover_proto import (
    InvalidRequest,
    Limits,
    Overloaded,
    PolicyError,
    PolicyRequest,
    PolicySpec,
)
from handover_proto import policy_pb2 as pb
from handover_proto.wire import decode_request

from handover_server.requests.fair_queue import FairQueue
from handover_server.requests.incident import record_incident
from handover_server.requests.request import PendingRequest


def decode_bytes(data: bytes, spec: PolicySpec, limits: Limits) -> PolicyRequest:
    """Turn a serialised InferRequest into a request that fits `spec`; raises PolicyError."""
    try:
        message = pb.InferRequest.FromString(data)
    except DecodeError:
        raise InvalidRequest(
            "message", "a serialised InferRequest", f"{len(data)} bytes that do not parse"
        ) from None
    return decode_request(message, spec, limits)


class Decoder:
    """Decodes tickets and passes them on: at once, or in one of a fixed number of threads.

    A thread pays for images that are compressed. Anything else is decoded under Python's lock, so
    that a thread could not do it beside the event loop, only later.
    """

    def __init__(
        self,
        spec: PolicySpec,
        limits: Limits,
        threads: int,
        pass_on: Callable[[PendingRequest], None],
    ) -> None:
        self._spec, self._limits, self._pass_on = spec, limits, pass_on
        self._queue = FairQueue()
        for index in range(threads):
            threading.Thread(target=self._run, name=f"decode-{index}", daemon=True).start()

    def submit(self, ticket: PendingRequest) -> None:
        """Decode `ticket`, or queue it in place of an older one of its lane that still waits."""
        if ticket.is_compressed:
            self._queue.put(ticket)
        else:
            self._decode(ticket)

    def discard(self, ticket: PendingRequest) -> None:
        """Forget a ticket that is settled."""
        self._queue.discard(ticket)

    @property
    def waiting(self) -> int:
        """How many tickets wait for a thread."""
        return len(self._queue)

    def close(self) -> None:
        """Let the threads end once they have finished what they are decoding."""
        self._queue.close()

    def _run(self) -> None:
        while tickets := self._queue.take(1):
            self._decode(tickets.pop())

    def _decode(self, ticket: PendingRequest) -> None:
        data = ticket.start_decoding()
        if data is None:
            return
        try:
            ticket.finish_decoding(decode_bytes(data, self._spec, self._limits))
        except PolicyError as error:
            ticket.settle(error)
        except MemoryError:
            ticket.settle(Overloaded("no memory to decode the request; try again in 1 s", 1.0))
        except Exception as error:
            ticket.settle(record_incident("decoding a request failed", error))
        else:
            self._pass_on(ticket)
