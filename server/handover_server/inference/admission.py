"""Admission control for all protocols: limits on requests, bytes and streams, also per client."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from handover_proto import DeadlinePassed, InvalidRequest, Overloaded, ServerInfo, ServerUnavailable

from handover_server.inference.decoder import Decoder
from handover_server.inference.scheduler import Scheduler
from handover_server.requests.fair_queue import superseded_by
from handover_server.requests.observer import Observer
from handover_server.requests.outcome import Outcome
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity

Admitted = asyncio.Future[tuple[PendingRequest, Outcome]]

_LEAST_RETRY_S = 0.02


@dataclass(frozen=True)
class AdmissionLimits:
    """What may be in flight at once, over all clients and for each of them.

    A client is a token or, where the server has none, a connection (TokenCheck.identify).
    """

    requests: int = 64
    message_bytes: int = 256 * 1024 * 1024  # of these requests, as received
    client_requests: int = 32
    client_streams: int = 32


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
        self._limits = limits
        self._decoder = Decoder(info.spec, info.limits, decode_threads, self._pass_on)
        self._requests = 0
        self._bytes = 0
        self._of_client: Counter[Identity] = Counter()
        self._streams: Counter[Identity] = Counter()
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
        self._requests += 1
        self._in_flight.add(pending)
        self._of_client[lane.client] += 1
        self._bytes += size
        self._idle.clear()
        future.add_done_callback(lambda done: self._leave(pending, size, done.cancelled()))
        self.observer.admitted(pending, data)
        self._decoder.submit(pending)
        return future

    def read_head(self, head: RequestHead, data: bytes) -> None:
        """Read what is needed before parsing; raises InvalidRequest for too many fields."""
        try:
            head.read(data)
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
            "in_flight_requests": self._requests,
            "in_flight_bytes": self._bytes,
            "open_streams": sum(list(self._streams.values())),
            "clients_in_flight": len(self._of_client),
        }

    @contextlib.contextmanager
    def stream(self, client: Identity) -> Iterator[Lane]:
        """Count a stream of `client` while it is open; yields its lane, raises Overloaded."""
        if self._streams[client] >= self._limits.client_streams:
            self.observer.refused("client_streams")
            raise Overloaded(
                f"{client.name} has {self._streams[client]} streams open, the most that one client "
                "may have; close one",
                1.0,
            )
        self._streams[client] += 1
        try:
            yield Lane(client)
        finally:
            _subtract(self._streams, client)

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
        reason, error = self._share_taken(lane.client) or self._full(size) or ("", None)
        if error is None:
            return
        if lane.newest is not None and lane.newest.withdraw(superseded_by(sequence)):
            return
        self.observer.refused(reason)
        raise error

    def _full(self, size: int) -> tuple[str, Overloaded] | None:
        """Return the reason and error for a request that the whole server has no room for."""
        if self._requests >= self._limits.requests:
            reason, waiting = "requests", f"{self._requests} requests"
        elif self._bytes + size > self._limits.message_bytes:
            reason, waiting = "bytes", f"{self._bytes >> 20} MiB of requests"
        else:
            return None
        retry_s = max(_LEAST_RETRY_S, self._scheduler.seconds_for(self._requests))
        return reason, Overloaded(
            f"the server is full, with {waiting} in flight; try again in {retry_s:.2f} s", retry_s
        )

    def _share_taken(self, client: Identity) -> tuple[str, Overloaded] | None:
        """Return the same where `client` already has its share of the room.

        Beside others, a client may have at most as many requests in flight as there is room left:
        two clients that flood the server leave a third of it to each other and to newcomers.
        """
        mine = self._of_client.get(client, 0)
        room, others = self._limits.requests - self._requests, self._requests - mine
        if mine < self._limits.client_requests and not (others and mine > room):
            return None
        retry_s = max(_LEAST_RETRY_S, self._scheduler.seconds_for(mine))
        return "client_requests", Overloaded(
            f"{client.name} has {mine} requests in flight, the most that one client may have "
            f"beside {others} of others; try again in {retry_s:.2f} s",
            retry_s,
        )

    def _leave(self, pending: PendingRequest, size: int, cancelled: bool) -> None:
        if cancelled:
            pending.withdraw(DeadlinePassed("the client went away"))
        self._decoder.discard(pending)
        self._scheduler.discard(pending)
        self._requests -= 1
        self._in_flight.discard(pending)
        if pending.lane.newest is pending:
            pending.lane.newest = None
        self._bytes -= size
        _subtract(self._of_client, pending.lane.client)
        if not self._requests:
            self._idle.set()


def _subtract(counts: "Counter[Identity]", client: Identity) -> None:
    """Count one less, and forget a client that has none left: addresses are unlimited."""
    counts[client] -= 1
    if not counts[client]:
        del counts[client]
