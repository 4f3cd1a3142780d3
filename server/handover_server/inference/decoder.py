"""Request decoding: compressed images in a few threads, raw frames on the event loop."""

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
from handover_server.requests.outcome import record_incident
from handover_server.requests.request import PendingRequest


def decode_bytes(data: bytes, spec: PolicySpec, limits: Limits) -> PolicyRequest:
    """Decode a serialized InferRequest into a request that fits `spec`; raises PolicyError."""
    try:
        message = pb.InferRequest.FromString(data)
    except DecodeError:
        raise InvalidRequest(
            "message", "a serialized InferRequest", f"{len(data)} bytes that do not parse"
        ) from None
    return decode_request(message, spec, limits)


class Decoder:
    """Decodes requests and passes them on: at once, or in one of a fixed number of threads.

    A thread pays off for compressed images, whose decoder releases the GIL. Everything else is
    decoded under the GIL: a thread could not do it beside the event loop, only later.
    """

    def __init__(
        self,
        spec: PolicySpec,
        limits: Limits,
        threads: int,
        pass_on: Callable[[PendingRequest, bytes], None],
    ) -> None:
        self._spec, self._limits, self._pass_on = spec, limits, pass_on
        self._queue = FairQueue()
        for index in range(threads):
            threading.Thread(target=self._run, name=f"decode-{index}", daemon=True).start()

    def submit(self, pending: PendingRequest) -> None:
        """Decode a request, or queue it in place of an older one of its lane that still waits."""
        if pending.is_compressed:
            self._queue.put(pending)
        else:
            self._decode(pending)

    def discard(self, pending: PendingRequest) -> None:
        """Forget a settled request."""
        self._queue.discard(pending)

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self._queue)

    def close(self) -> None:
        """Let the threads end after what they are decoding."""
        self._queue.close()

    def _run(self) -> None:
        while taken := self._queue.take(1):
            self._decode(taken.pop())  # an idle thread holds no request

    def _decode(self, pending: PendingRequest) -> None:
        data = pending.start_decoding()
        if data is None:
            return
        try:
            pending.finish_decoding(decode_bytes(data, self._spec, self._limits))
        except PolicyError as error:
            pending.settle(error)
        except MemoryError:
            pending.settle(Overloaded("no memory to decode the request; try again in 1 s", 1.0))
        except Exception as error:
            pending.settle(record_incident("decoding a request failed", error))
        else:
            self._pass_on(pending, data)
