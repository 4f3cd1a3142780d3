"""Session of one InferStream: its requests share a lane, so the newest observation wins."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

from grpc import aio
from handover_proto import PolicyError, ServerUnavailable

from handover_server.inference.admission import Admission, Admitted
from handover_server.requests.outcome import Outcome, record_incident
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.rpc.replies import chunk_reply, error_reply

_MAX_UNANSWERED = 8  # a client that does not read its replies is not read either

# The pending request is None where it was not admitted; the outcome then is the reason.
_Settled = tuple[RequestHead, PendingRequest | None, Outcome]


class StreamSession:
    """Reads requests while replies are written, in the order in which they were settled."""

    def __init__(
        self,
        admission: Admission,
        lane: Lane,
        context: aio.ServicerContext,
        deadline: float | None,
        arrived: Callable[[int], None],
    ) -> None:
        """arrived: called with the size of each message; raises NotAuthorised once the token that
        opened the stream is revoked.
        """
        self._admission = admission
        self._context = context
        self._deadline = deadline
        self._lane = lane
        self._arrived = arrived
        self._room = asyncio.Semaphore(_MAX_UNANSWERED)
        self.in_flight: set[Admitted] = set()
        self._outbox: asyncio.Queue[_Settled] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False

    async def run(self, requests: AsyncIterator[bytes]) -> None:
        """Serve the stream to its end; raises NotAuthorised, or ServerUnavailable on shutdown."""
        self._reader = asyncio.create_task(self._read(requests))
        writer = asyncio.create_task(self._write())
        finished = asyncio.create_task(self._finish(self._reader))
        try:
            await asyncio.wait({writer, finished}, return_when=asyncio.FIRST_COMPLETED)
            for task in (writer, finished):
                if task.done():
                    task.result()
        finally:
            for task in (self._reader, writer, finished, *self.in_flight):
                task.cancel()
        if self._stopping:
            raise ServerUnavailable("the server is shutting down")

    def stop_reading(self) -> None:
        """Read no more requests; `run` ends once those in flight are answered."""
        self._stopping = True
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for data in requests:
            self._arrived(len(data))
            arrived_s = time.monotonic()
            await self._room.acquire()
            head = RequestHead()
            try:
                self._admission.read_head(head, data)
                deadline = head.deadline(arrived_s, self._deadline)
                admitted = self._admission.admit(data, head, self._lane, deadline)
            except PolicyError as error:
                self._outbox.put_nowait((head, None, error))
            else:
                self.in_flight.add(admitted)
                admitted.add_done_callback(partial(self._settled, head))
            size = len(data)
            del data  # an idle stream holds no image
            await self._admission.paces.keep(self._lane.client, size)

    def _settled(self, head: RequestHead, admitted: Admitted) -> None:
        self.in_flight.discard(admitted)
        if not admitted.cancelled():
            self._outbox.put_nowait((head, *admitted.result()))

    async def _write(self) -> None:
        while True:
            head, pending, outcome = await self._outbox.get()
            await self._context.write(self._reply(head, pending, outcome))
            self._outbox.task_done()
            self._room.release()

    def _reply(self, head: RequestHead, pending: PendingRequest | None, outcome: Outcome) -> bytes:
        if isinstance(outcome, PolicyError):
            return error_reply(head, outcome)
        assert pending is not None, "only an admitted request has a chunk"
        try:
            return chunk_reply(pending, head, outcome, self._admission.observer)
        except Exception as error:
            return error_reply(head, record_incident("answering a request failed", error))

    async def _finish(self, reader: "asyncio.Task[None]") -> None:
        """Wait until nothing more is read and all requests read are answered."""
        await asyncio.wait({reader})
        if not reader.cancelled():
            reader.result()
        if self.in_flight:
            await asyncio.wait(self.in_flight)
        await self._outbox.join()
