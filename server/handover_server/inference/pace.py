"""Pace of clients: beside others, none keeps the server's event loop busy alone.

A request costs the loop a fraction of a millisecond whatever becomes of it, and more for each
megabyte. Queues that take turns come too late for that: gRPC gives the loop its calls in the order
of their arrival. So who sends more than its share gets its answers, refusals too, a little later.
"""

import asyncio
import time

from handover_server.connections.peers import address_of
from handover_server.security.tokens import Identity

_PRESENT_S = 1.0  # after its last request, a client still counts as another beside the others
_REFUSED = 8  # times as much counts a request that breaks the contract
_LONGEST_S = 5.0  # that an answer is held back
_LONGEST_REFUSAL_S = 20.0  # that a refusal is
MIB = 1024 * 1024


class Pace:
    """Rates of the names of one kind: requests and bytes per second, while there are others."""

    def __init__(self, requests_per_s: float, bytes_per_s: float) -> None:
        self._request_s, self._byte_s = 1 / requests_per_s, 1 / bytes_per_s
        self._free_s: dict[str, float] = {}  # when a name has had its share; in order of requests
        self._seen_s: dict[str, float] = {}  # its last request, in the same order

    def wait_s(self, name: str, size: int, now_s: float, longest_s: float = _LONGEST_S) -> float:
        """Count a request of `size` bytes; returns for how long to hold its answer back."""
        self._seen_s.pop(name, None)
        self._seen_s[name] = now_s
        while (oldest := next(iter(self._seen_s))) != name and (
            self._seen_s[oldest] < now_s - _PRESENT_S
        ):
            del self._seen_s[oldest]
            self._free_s.pop(oldest, None)
        if len(self._seen_s) == 1:
            self._free_s.clear()
            return 0.0
        began_s = max(now_s, self._free_s.get(name, 0.0))
        self._free_s[name] = began_s + self._request_s + self._byte_s * size
        return min(began_s - now_s, longest_s)


class Paces:
    """The pace of each client, and of all connections of an address together."""

    def __init__(self) -> None:
        self._clients = Pace(1000, 64 * MIB)
        self._addresses = Pace(400, 128 * MIB)

    async def keep(self, client: Identity, size: int, refused: bool = False) -> None:
        """Hold the answer to a request of `size` bytes back, if its client sends too much."""
        now_s, longest_s = time.monotonic(), _LONGEST_S
        if refused:
            size, longest_s = size * _REFUSED, _LONGEST_REFUSAL_S
        wait_s = max(
            self._clients.wait_s(client.name, size, now_s, longest_s),
            self._addresses.wait_s(address_of(client.name), size, now_s, longest_s),
        )
        if wait_s:
            await asyncio.sleep(wait_s)
