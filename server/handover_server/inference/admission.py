"""Admission control for all protocols: limits on requests, bytes and streams, also per client."""

import asyncio
import contextlib
from collections.abc import Iterator

from handover_proto import DeadlinePassed, InvalidRequest, Overloaded, ServerInfo, ServerUnavailable

from handover_server.inference.decoder import Decoder
from handover_server.inference.pace import Paces
from handover_server.inference.scheduler import Scheduler
from handover_server.inference.shares import AdmissionLimits, Shares
from handover_server.requests.fair_queue import superseded_by
from handover_server.requests.observer import Observer
from handover_server.requests.outcome import Outcome
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity

Admitted = asyncio.Future[tuple[PendingRequest, Outcome]]


class Admission:
    """The path from a request's bytes to the policy's outcome, on the event loop."""

    def __init__(
        self,
        info: ServerInfo,
        scheduler: Scheduler,
        limits: AdmissionLimits,
        decode_threads: int,
        observer: Observer | None = None,
    ) -> None:
        self.info = info
        self.observer = observer or Observer()
        self._scheduler = scheduler
        self._decoder = Decoder(info.spec, info.limits, decode_threads, self._pass_on)
        self.paces = Paces()
        self._shares = Shares(limits, scheduler.seconds_for)
        self._in_flight: set[PendingRequest] = set()
        self._closed = False
        self._suspended = ""
        self._idle = asyncio.Event()
        self._idle.set()

    def admit(self, data: bytes, head: RequestHead, lane: Lane, deadline: float | None) -> Admitted:
        """Admit a serialized request; the future never fails, its outcome may be an error.

        Cancelling the future withdraws the request. It counts toward `lane.client`; where there is
        no room, an older request of the same lane that still waits gives its place up. Raises
        Overloaded or ServerUnavailable.
        """
        self._check_room(len(data), lane, head.sequence)
        loop = asyncio.get_running_loop()
        future: Admitted = loop.create_future()

        def settle(outcome: Outcome) -> None:
            self.observer.settled(pending, outcome)
            if not future.done():
                future.set_result((pending, outcome))

        def settle_from_thread(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is waiting
                loop.call_soon_threadsafe(settle, outcome)

        pending = lane.newest = PendingRequest(data, head, lane, deadline, settle_from_thread)
        size = len(data)
        self._shares.enter(lane.client, size)
        self._in_flight.add(pending)
        self._idle.clear()
        future.add_done_callback(lambda done: self._leave(pending, size, done.cancelled()))
        self.observer.admitted(pending, data)
        self._decoder.submit(pending)
        return future

    def read_head(self, head: RequestHead, data: bytes) -> None:
        """Read what is needed before parsing; raises InvalidRequest for too much of anything."""
        try:
            head.read(data)
            limit = self.info.limits.max_message_bytes
            if len(data) > limit:
                raise InvalidRequest("message", f"at most {limit} bytes", f"{len(data)}")
        except InvalidRequest:
            self.observer.refused("invalid")
            raise

    @property
    def status(self) -> str:
        """One word for the state: serving, draining, or the reason of `suspend`."""
        return "draining" if self._closed else self._suspended or "serving"

    def levels(self) -> dict[str, float]:
        """Current gauges: {name: value}."""
        return {
            "decode_queue_depth": self._decoder.waiting,
            "queue_depth": self._scheduler.waiting,
            "in_flight_requests": self._shares.requests,
            "in_flight_bytes": self._shares.bytes,
            "open_streams": self._shares.streams,
            "clients_in_flight": self._shares.clients,
        }

    @contextlib.contextmanager
    def stream(self, client: Identity) -> Iterator[Lane]:
        """Count a stream of `client` while it is open; yields its lane, raises Overloaded."""
        try:
            self._shares.open_stream(client)
        except Overloaded:
            self.observer.refused("client_streams")
            raise
        try:
            yield Lane(client)
        finally:
            self._shares.close_stream(client)

    def suspend(self, reason: str) -> int:
        """Answer everything in flight, and every request until `resume`, with ServerUnavailable.

        Returns how many requests were in flight.
        """
        self._suspended = reason
        left = list(self._in_flight)
        for pending in left:
            pending.settle(ServerUnavailable(reason))
        return len(left)

    def resume(self) -> None:
        """Admit requests again."""
        self._suspended = ""

    def close(self) -> None:
        """Stop admitting requests, for good."""
        self._closed = True

    async def drain(self, timeout_s: float) -> int:
        """Wait until all admitted requests are answered; returns how many were not.

        Those end with ServerUnavailable, so that their clients try another server.
        """
        with contextlib.suppress(asyncio.TimeoutError):  # Python 3.10 has its own
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        self._decoder.close()
        return self.suspend("the server is shutting down")

    def _pass_on(self, pending: PendingRequest, data: bytes) -> None:
        self.observer.decoded(pending, data)
        self._scheduler.submit(pending)

    def _check_room(self, size: int, lane: Lane, sequence: int) -> None:
        if self._closed:
            self.observer.refused("draining")
            raise ServerUnavailable("the server is shutting down")
        if self._suspended:
            self.observer.refused("stuck")
            raise ServerUnavailable(self._suspended)
        refusal = self._shares.refusal(lane.client, size)
        if refusal is None:
            return
        reason, error = refusal
        if lane.newest is not None and lane.newest.withdraw(superseded_by(sequence)):
            return
        self.observer.refused(reason)
        raise error

    def _leave(self, pending: PendingRequest, size: int, cancelled: bool) -> None:
        if cancelled:
            pending.withdraw(DeadlinePassed("the client went away"))
        self._decoder.discard(pending)
        self._scheduler.discard(pending)
        self._shares.leave(pending.lane.client, size)
        self._in_flight.discard(pending)
        if pending.lane.newest is pending:
            pending.lane.newest = None
        if not self._in_flight:
            self._idle.set()
