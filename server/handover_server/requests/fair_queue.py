"""Clients take turns; a client's lanes go in order, and in a lane the newest takes the place."""

import threading
import time
import weakref

from handover_proto import PolicyError, ServerUnavailable, Superseded

from handover_server.requests.request import Lane, PendingRequest
from handover_server.security.tokens import Identity


class FairQueue:
    """A queue that threads wait on; each lane holds one place in it.

    A stream that sends faster than it is served keeps its place and never grows the queue. A client
    with many lanes waits for itself alone: whoever else has something queued comes in between.
    """

    def __init__(self) -> None:
        # Clients in the order of their turns, and each one's lanes in the order of their arrival.
        self._tickets: dict[Identity, dict[Lane, PendingRequest]] = {}
        # Arrival and sequence of each lane's newest ticket; numbers, because a ticket would keep
        # its lane, and with it this entry, alive for ever.
        self._newest: weakref.WeakKeyDictionary[Lane, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, ticket: PendingRequest) -> None:
        """Queue `ticket`, and settle the one of its lane that loses its place.

        That is `ticket` itself when a newer one was here first: two threads may bring a lane's
        tickets out of order.
        """
        with self._changed:
            loser, error = self._place(ticket)
        if loser is not None:
            loser.withdraw(error)

    def _place(self, ticket: PendingRequest) -> tuple[PendingRequest | None, PolicyError]:
        if self._closed:
            return ticket, ServerUnavailable("the server is shutting down")
        arrival, sequence = self._newest.get(ticket.lane, (0, 0))
        if arrival > ticket.arrival:
            return ticket, superseded_by(sequence)
        self._newest[ticket.lane] = (ticket.arrival, ticket.sequence)
        lanes = self._tickets.setdefault(ticket.lane.client, {})
        replaced = lanes.get(ticket.lane)
        lanes[ticket.lane] = ticket  # a dict keeps the place of the older one
        self._changed.notify()
        return replaced, superseded_by(ticket.sequence)

    def take(self, limit: int, window_s: float = 0.0) -> list[PendingRequest]:
        """Wait for tickets and take up to `limit`, one of each client in turn.

        window_s: how much longer to wait for more, once there is one and until there are `limit`
        Returns none once the queue is closed.
        """
        taken: list[PendingRequest] = []
        with self._changed:
            while not taken and not self._closed:  # what came may be withdrawn within the window
                while not self._tickets and not self._closed:
                    self._changed.wait()
                if window_s:
                    self._wait_for_more(limit, window_s)
                while self._tickets and len(taken) < limit:
                    taken.append(self._take_next())
        return taken

    def discard(self, ticket: PendingRequest) -> None:
        """Forget `ticket`, if it is still here."""
        with self._changed:
            lanes = self._tickets.get(ticket.lane.client, {})
            if lanes.get(ticket.lane) is ticket:
                del lanes[ticket.lane]
                if not lanes:
                    del self._tickets[ticket.lane.client]

    def close(self) -> None:
        """Let the waiting threads go, and settle what nobody will take."""
        with self._changed:
            self._closed = True
            left = [ticket for lanes in self._tickets.values() for ticket in lanes.values()]
            self._tickets.clear()
            self._changed.notify_all()
        for ticket in left:
            ticket.withdraw(ServerUnavailable("the server is shutting down"))

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def _count(self) -> int:
        return sum(map(len, self._tickets.values()))

    def _wait_for_more(self, limit: int, window_s: float) -> None:
        until = time.monotonic() + window_s
        while self._count() < limit and not self._closed:
            if not self._changed.wait(until - time.monotonic()):
                return

    def _take_next(self) -> PendingRequest:
        """Take from the client whose turn it is, and put it behind the others."""
        client = next(iter(self._tickets))
        lanes = self._tickets.pop(client)
        ticket = lanes.pop(next(iter(lanes)))
        if lanes:
            self._tickets[client] = lanes
        return ticket


def superseded_by(sequence: int) -> Superseded:
    """What a request is told that lost its place to this one."""
    return Superseded(f"superseded by the stream's newer observation, sequence {sequence}")
