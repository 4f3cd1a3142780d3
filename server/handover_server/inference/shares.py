"""Shares of a server's room: how many requests, bytes and streams a client and an address have."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from handover_proto import Overloaded

from handover_server.connections.peers import address_of
from handover_server.security.tokens import Identity

_LEAST_RETRY_S = 0.02
_STREAMS_OF_ADDRESS = 4  # times those of one client

Name = TypeVar("Name")
Refusal = tuple[str, Overloaded]  # the reason in a word, and the client's error


@dataclass(frozen=True)
class AdmissionLimits:
    """What may be in flight at once, over all clients and for each of them.

    A client is a token or, where the server has none, a connection (TokenCheck.identify); all
    connections of one address together leave a quarter of the room to others.
    """

    requests: int = 128
    message_bytes: int = 128 * 1024 * 1024  # of these requests, as received
    client_requests: int = 32
    client_streams: int = 32


class Shares:
    """Counts what is in flight, and says who has no more room.

    seconds_for: returns how long so many requests take, for the time after which to try again
    """

    def __init__(self, limits: AdmissionLimits, seconds_for: Callable[[int], float]) -> None:
        self._limits, self._seconds_for = limits, seconds_for
        self.requests = self.bytes = 0
        self._of_client: Counter[Identity] = Counter()
        self._of_address: Counter[str] = Counter()
        self._bytes_of_address: Counter[str] = Counter()
        self._streams: Counter[Identity] = Counter()
        self._streams_of_address: Counter[str] = Counter()

    @property
    def clients(self) -> int:
        """Number of clients with requests in flight."""
        return len(self._of_client)

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return sum(list(self._streams.values()))

    def enter(self, client: Identity, size: int) -> None:
        """Count a request of `size` bytes."""
        address = address_of(client.name)
        self.requests += 1
        self.bytes += size
        self._of_client[client] += 1
        self._of_address[address] += 1
        self._bytes_of_address[address] += size

    def leave(self, client: Identity, size: int) -> None:
        """Count that request no longer."""
        address = address_of(client.name)
        self.requests -= 1
        self.bytes -= size
        _subtract(self._of_client, client)
        _subtract(self._of_address, address)
        _subtract(self._bytes_of_address, address, size)

    def open_stream(self, client: Identity) -> None:
        """Count a stream; raises Overloaded."""
        address, most = address_of(client.name), self._limits.client_streams
        for name, streams, limit in (
            (client.name, self._streams[client], most),
            (address, self._streams_of_address[address], most * _STREAMS_OF_ADDRESS),
        ):
            if streams >= limit:
                raise Overloaded(
                    f"{name} has {streams} streams open, the most that one client may have; "
                    "close one",
                    1.0,
                )
        self._streams[client] += 1
        self._streams_of_address[address] += 1

    def close_stream(self, client: Identity) -> None:
        """Count that stream no longer."""
        _subtract(self._streams, client)
        _subtract(self._streams_of_address, address_of(client.name))

    def refusal(self, client: Identity, size: int) -> Refusal | None:
        """Return why a request of `size` bytes has no room; None if it has."""
        return (
            self._client_full(client) or self._address_full(client, size) or self._server_full(size)
        )

    def _client_full(self, client: Identity) -> Refusal | None:
        """Return the refusal where `client` already has its share of the room.

        Beside others, a client may have at most as many requests in flight as there is room left:
        two clients that flood the server leave a third of it to each other and to newcomers.
        """
        mine = self._of_client.get(client, 0)
        room, others = self._limits.requests - self.requests, self.requests - mine
        if mine < self._limits.client_requests and not (others and mine > room):
            return None
        return self._refuse(
            "client_requests",
            f"{client.name} has {mine} requests in flight, the most that one client may have "
            f"beside {others} of others",
            mine,
        )

    def _address_full(self, client: Identity, size: int) -> Refusal | None:
        """Return the refusal where the connections of one address leave others too little."""
        address = address_of(client.name)
        if address == client.name:  # a token, whichever address it comes from
            return None
        mine, held = self._of_address[address], self._bytes_of_address[address]
        limits = self._limits
        too_many = mine >= _most_of(limits.requests)
        if not too_many and held + size <= _most_of(limits.message_bytes):
            return None
        return self._refuse(
            "client_requests" if too_many else "bytes",
            f"{address} has {mine} requests ({held >> 20} MiB) in flight, the most that one "
            "address may have",
            mine,
        )

    def _server_full(self, size: int) -> Refusal | None:
        if self.requests >= self._limits.requests:
            reason, waiting = "requests", f"{self.requests} requests"
        elif self.bytes + size > self._limits.message_bytes:
            reason, waiting = "bytes", f"{self.bytes >> 20} MiB of requests"
        else:
            return None
        return self._refuse(reason, f"the server is full, with {waiting} in flight", self.requests)

    def _refuse(self, reason: str, what: str, ahead: int) -> Refusal:
        retry_s = max(_LEAST_RETRY_S, self._seconds_for(ahead))
        return reason, Overloaded(f"{what}; try again in {retry_s:.2f} s", retry_s)


def _most_of(room: int) -> int:
    """Return what all connections of one address may have: three quarters of the room."""
    return room - room // 4


def _subtract(counts: "Counter[Name]", client: Name, less: int = 1) -> None:
    """Count less, and forget a client that has nothing left: addresses are unlimited."""
    counts[client] -= less
    if not counts[client]:
        del counts[client]
