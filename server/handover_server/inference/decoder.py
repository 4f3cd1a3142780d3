"""Request decoding: compressed images in a few threads, raw frames on the event loop."""

import threading
from collections.abc import Callable

import numpy as np
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

MOST_DECODED = 128 * 1024 * 1024


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

    A file of kilobytes may hold megabytes of pixels, so files wait undecoded while MOST_DECODED
    bytes of decoded ones wait for their answers.
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
        self._decoded: dict[PendingRequest, int] = {}  # bytes of frames that were files
        self._left = threading.Condition()
        self._closed = False
        for index in range(threads):
            threading.Thread(target=self._run, name=f"decode-{index}", daemon=True).start()

    def submit(self, pending: PendingRequest) -> None:
        """Decode a request, or queue it in place of an older one of its lane that still waits."""
        if pending.is_compressed:
            with self._left:
                self._decoded[pending] = 0
            self._queue.put(pending)
        else:
            self._decode(pending)

    def discard(self, pending: PendingRequest) -> None:
        """Forget a settled request."""
        self._queue.discard(pending)
        with self._left:
            if self._decoded.pop(pending, 0):
                self._left.notify_all()

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return len(self._queue)

    def close(self) -> None:
        """Let the threads end after what they are decoding."""
        self._queue.close()
        with self._left:
            self._closed = True
            self._left.notify_all()

    def _run(self) -> None:
        while self._wait_for_room() and (taken := self._queue.take(1)):
            self._decode(taken.pop())  # an idle thread holds no request

    def _wait_for_room(self) -> bool:
        """Wait until few decoded frames are held; returns True."""
        with self._left:
            return self._left.wait_for(
                lambda: self._closed or sum(self._decoded.values()) < MOST_DECODED
            )

    def _hold(self, pending: PendingRequest, request: PolicyRequest) -> None:
        """Count a request's frames until it is discarded, if it was not yet."""
        cameras = request.observation.cameras.values()
        size = sum(f.nbytes for camera in cameras for f in camera if isinstance(f, np.ndarray))
        with self._left:
            if pending in self._decoded:
                self._decoded[pending] = size

    def _decode(self, pending: PendingRequest) -> None:
        data = pending.start_decoding()
        if data is None:
            return
        try:
            request = decode_bytes(data, self._spec, self._limits)
            self._hold(pending, request)
            pending.finish_decoding(request)
            del request
        except PolicyError as error:
            pending.settle(error)
        except MemoryError:
            pending.settle(Overloaded("no memory to decode the request; try again in 1 s", 1.0))
        except Exception as error:
            pending.settle(record_incident("decoding a request failed", error))
        else:
            self._pass_on(pending, data)
