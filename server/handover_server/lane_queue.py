"""First come, first served between lanes; within one, the newest takes the older's place."""

import threading
import weakref

from handover_proto.errors import PolicyError, ServerUnavailable, Superseded

from handover_server.ticket import Lane, Ticket


class LaneQueue:
    """A queue that threads wait on; each lane holds one place in it.

    A stream that sends faster than it is served keeps its place and never grows the queue.
    """

    def __init__(self) -> None:
        self._tickets: dict[Lane, Ticket] = {}  # in order of each lane's arrival
        # Arrival and sequence of each lane's newest ticket; numbers, because a ticket would keep
        # its lane, and with it this entry, alive for ever.
        self._newest: weakref.WeakKeyDictionary[Lane, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, ticket: Ticket) -> None:
        """Queue `ticket`, and settle the one of its lane that loses its place.

        That is `ticket` itself when a newer one was here first: two threads may bring a lane's
        tickets out of order.
        """
        with self._changed:
            loser, error = self._place(ticket)
        if loser is not None:
            loser.withdraw(error)

    def _place(self, ticket: Ticket) -> tuple[Ticket | None, PolicyError]:
        if self._closed:
            return ticket, ServerUnavailable("the server is shutting down")
        arrival, sequence = self._newest.get(ticket.lane, (0, 0))
        if arrival > ticket.arrival:
            return ticket, _superseded_by(sequence)
        self._newest[ticket.lane] = (ticket.arrival, ticket.sequence)
        replaced = self._tickets.get(ticket.lane)
        self._tickets[ticket.lane] = ticket  # a dict keeps the place of the older one
        self._changed.notify()
        return replaced, _superseded_by(ticket.sequence)

    def take(self, limit: int) -> list[Ticket]:
        """Wait for tickets and take the `limit` that came first; none once the queue is closed."""
        with self._changed:
            while not self._tickets and not self._closed:
                self._changed.wait()
            lanes = list(self._tickets)[:limit]
            return [self._tickets.pop(lane) for lane in lanes]

    def discard(self, ticket: Ticket) -> None:
        """Forget `ticket`, if it is still here."""
        with self._changed:
            if self._tickets.get(ticket.lane) is ticket:
                del self._tickets[ticket.lane]

    def close(self) -> None:
        """Let the waiting threads go, and settle what nobody will take."""
        with self._changed:
            self._closed = True
            left = list(self._tickets.values())
            self._tickets.clear()
            self._changed.notify_all()
        for ticket in left:
            ticket.withdraw(ServerUnavailable("the server is shutting down"))

    def __len__(self) -> int:
        return len(self._tickets)


def _superseded_by(sequence: int) -> Superseded:
    return Superseded(f"superseded by the stream's newer observation, sequence {sequence}")
