"""Fair queue: addresses take turns, and their clients; in a lane the newest request wins."""

import threading
import time
import weakref
from collections.abc import Iterator

from handover_proto import PolicyError, ServerUnavailable, Superseded

from handover_server.connections.peers import address_of
from handover_server.requests.request import Lane, PendingRequest
from handover_server.security.tokens import Identity


class FairQueue:
    """A queue that threads wait on; each lane has one place in it.

    A stream that sends faster than it is served keeps its place and never grows the queue. A client
    with many lanes only waits for itself, and so does an address with many connections: others'
    requests come in between.
    """

    def __init__(self) -> None:
        # Addresses and their clients in order of their turns, and lanes in order of arrival.
        self._pending: dict[str, dict[Identity, dict[Lane, PendingRequest]]] = {}
        # Arrival and sequence of each lane's newest request; numbers, because a request would keep
        # its lane, and with it this entry, alive forever.
        self._newest: weakref.WeakKeyDictionary[Lane, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, pending: PendingRequest) -> None:
        """Queue a request, and settle the one of its lane that loses its place.

        That is `pending` itself when a newer one came first: two threads may submit a lane's
        requests out of order.
        """
        with self._changed:
            loser, error = self._place(pending)
        if loser is not None:
            loser.withdraw(error)

    def _place(self, pending: PendingRequest) -> tuple[PendingRequest | None, PolicyError]:
        if self._closed:
            return pending, ServerUnavailable("the server is shutting down")
        arrival, sequence = self._newest.get(pending.lane, (0, 0))
        if arrival > pending.arrival:
            return pending, superseded_by(sequence)
        self._newest[pending.lane] = (pending.arrival, pending.sequence)
        client = pending.lane.client
        lanes = self._pending.setdefault(address_of(client.name), {}).setdefault(client, {})
        replaced = lanes.get(pending.lane)
        lanes[pending.lane] = pending  # a dict keeps the place of the older one
        self._changed.notify()
        return replaced, superseded_by(pending.sequence)

    def take(self, limit: int, window_s: float = 0.0) -> list[PendingRequest]:
        """Wait for requests and take up to `limit`, one from each address and client in turn.

        window_s: how much longer to wait for more, once there is one and until there are `limit`
        Returns an empty list once the queue is closed.
        """
        taken: list[PendingRequest] = []
        with self._changed:
            while not taken and not self._closed:  # requests may be withdrawn within the window
                while not self._pending and not self._closed:
                    self._changed.wait()
                if window_s:
                    self._wait_for_more(limit, window_s)
                while self._pending and len(taken) < limit:
                    taken.append(self._take_next())
        return taken

    def discard(self, pending: PendingRequest) -> None:
        """Forget a request, if it is still queued."""
        with self._changed:
            client = pending.lane.client
            address = address_of(client.name)
            clients = self._pending.get(address, {})
            lanes = clients.get(client, {})
            if lanes.get(pending.lane) is pending:
                del lanes[pending.lane]
                if not lanes:
                    del clients[client]
                if not clients:
                    del self._pending[address]

    def close(self) -> None:
        """Release the waiting threads, and settle what is still queued."""
        with self._changed:
            self._closed = True
            left = [pending for lanes in self._lanes() for pending in lanes.values()]
            self._pending.clear()
            self._changed.notify_all()
        for pending in left:
            pending.withdraw(ServerUnavailable("the server is shutting down"))

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def _count(self) -> int:
        return sum(map(len, self._lanes()))

    def _lanes(self) -> Iterator[dict[Lane, PendingRequest]]:
        return (lanes for clients in self._pending.values() for lanes in clients.values())

    def _wait_for_more(self, limit: int, window_s: float) -> None:
        until = time.monotonic() + window_s
        while self._count() < limit and not self._closed:
            if not self._changed.wait(until - time.monotonic()):
                return

    def _take_next(self) -> PendingRequest:
        """Take a request of the client whose turn it is; it and its address go behind others."""
        address = next(iter(self._pending))
        clients = self._pending.pop(address)
        client = next(iter(clients))
        lanes = clients.pop(client)
        pending = lanes.pop(next(iter(lanes)))
        if lanes:
            clients[client] = lanes
        if clients:
            self._pending[address] = clients
        return pending


def superseded_by(sequence: int) -> Superseded:
    """Return the error of a request whose place this newer one took."""
    return Superseded(f"superseded by the stream's newer observation, sequence {sequence}")
