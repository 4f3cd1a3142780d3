"""Where requests enter, whatever protocol brought them: admitted within bounds, then followed."""

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
from handover_server.requests.request import Lane, Outcome, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity

Admitted = asyncio.Future[tuple[PendingRequest, Outcome]]

_LEAST_RETRY_S = 0.02


@dataclass(frozen=True)
class AdmissionLimits:
    """How much may be under way at once, over all clients and of each of them.

    A client is a token, or where the server has none a connection (security.TokenCheck).
    """

    requests: int = 64
    message_bytes: int = 256 * 1024 * 1024  # of these requests, as they came
    client_requests: int = 32
    client_streams: int = 32


class Admission:
    """The way from bytes to a policy's outcome, as the event loop sees it."""

    def __init__(
        self,
        info: ServerInfo,
        scheduler: Scheduler,
        bounds: AdmissionLimits,
        decode_threads: int,
        observer: Observer | None = None,
    ) -> None:
        self.info = info
        self.observer = observer or Observer()
        self._scheduler = scheduler
        self._bounds = bounds
        self._decoder = Decoder(info.spec, info.limits, decode_threads, scheduler.submit)
        self._requests = 0
        self._bytes = 0
        self._of_client: Counter[Identity] = Counter()
        self._streams: Counter[Identity] = Counter()
        self._under_way: set[PendingRequest] = set()
        self._closed = False
        self._suspended = ""
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self, data: bytes, head: RequestHead, lane: Lane, deadline: float | None) -> Admitted:
        """Admit a serialised request; the future never fails, its outcome may be an error.

        Cancelling the future withdraws the request. It counts as one of `lane.client`'s; where
        there is no room, an older one of its lane that still waits makes some. Raises Overloaded
        or ServerUnavailable.
        """
        self._check_room(len(data), lane, head.sequence)
        loop = asyncio.get_running_loop()
        future: Admitted = loop.create_future()

        def settle(outcome: Outcome) -> None:
            self.observer.settled(ticket, outcome)
            if not future.done():
                future.set_result((ticket, outcome))

        def settle_from_thread(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(settle, outcome)

        ticket = lane.newest = PendingRequest(data, head, lane, deadline, settle_from_thread)
        size = len(data)
        self._requests += 1
        self._under_way.add(ticket)
        self._of_client[lane.client] += 1
        self._bytes += size
        self._idle.clear()
        future.add_done_callback(lambda done: self._leave(ticket, size, done.cancelled()))
        self.observer.entered(ticket, data)
        self._decoder.submit(ticket)
        return future

    def read_head(self, head: RequestHead, data: bytes) -> None:
        """Read what can be told before parsing; raises InvalidRequest for too many parts."""
        try:
            head.read(data)
        except InvalidRequest:
            self.observer.refused("invalid")
            raise

    @property
    def status(self) -> str:
        """How requests fare, in a word: serving, or why not."""
        return "draining" if self._closed else self._suspended or "serving"

    def levels(self) -> dict[str, float]:
        """How much there is of what comes and goes: {name: count}."""
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
        """Count a stream of `client` while it is open and give its lane; raises Overloaded."""
        if self._streams[client] >= self._bounds.client_streams:
            self.observer.refused("client_streams")
            raise Overloaded(
                f"{client.name} has {self._streams[client]} streams open, which is the most that "
                "a client may have; close one",
                1.0,
            )
        self._streams[client] += 1
        try:
            yield Lane(client)
        finally:
            _subtract(self._streams, client)

    def suspend(self, reason: str) -> int:
        """Answer what is under way, and all that comes until `resume`, with ServerUnavailable.

        Returns how many requests were under way.
        """
        self._suspended = reason
        left = list(self._under_way)
        for ticket in left:
            ticket.settle(ServerUnavailable(reason))
        return len(left)

    def resume(self) -> None:
        """Admit requests again."""
        self._suspended = ""

    def close(self) -> None:
        """Admit nothing more."""
        self._closed = True

    async def drain(self, timeout_s: float) -> int:
        """Wait until what was admitted is answered; returns how many requests were not.

        These end with ServerUnavailable, so that their clients ask another server.
        """
        with contextlib.suppress(asyncio.TimeoutError):  # Python 3.10 has its own
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        self._decoder.close()
        return self.suspend("the server is shutting down")

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
        """Tell by which word and error a request is refused for which there is no room at all."""
        if self._requests >= self._bounds.requests:
            reason, waiting = "requests", f"{self._requests} requests"
        elif self._bytes + size > self._bounds.message_bytes:
            reason, waiting = "bytes", f"{self._bytes >> 20} MiB of requests"
        else:
            return None
        retry_s = max(_LEAST_RETRY_S, self._scheduler.seconds_for(self._requests))
        return reason, Overloaded(
            f"the server is full, with {waiting} under way; try again in {retry_s:.2f} s", retry_s
        )

    def _share_taken(self, client: Identity) -> tuple[str, Overloaded] | None:
        """Tell the same where others need the room that is left more than `client` does.

        Beside others a client may have as many requests under way as there is room for more: two
        that flood leave each other, and whoever comes, a third of it.
        """
        mine = self._of_client.get(client, 0)
        room, others = self._bounds.requests - self._requests, self._requests - mine
        if mine < self._bounds.client_requests and not (others and mine > room):
            return None
        retry_s = max(_LEAST_RETRY_S, self._scheduler.seconds_for(mine))
        return "client_requests", Overloaded(
            f"{client.name} has {mine} requests under way, which is the most that a client may "
            f"have beside {others} of others; try again in {retry_s:.2f} s",
            retry_s,
        )

    def _leave(self, ticket: PendingRequest, size: int, cancelled: bool) -> None:
        if cancelled:
            ticket.withdraw(DeadlinePassed("the client went away"))
        self._decoder.discard(ticket)
        self._scheduler.discard(ticket)
        self._requests -= 1
        self._under_way.discard(ticket)
        if ticket.lane.newest is ticket:
            ticket.lane.newest = None
        self._bytes -= size
        _subtract(self._of_client, ticket.lane.client)
        if not self._requests:
            self._idle.set()


def _subtract(counts: "Counter[Identity]", client: Identity) -> None:
    """Count one less, and forget a client that has none left: there is no end of addresses."""
    counts[client] -= 1
    if not counts[client]:
        del counts[client]
