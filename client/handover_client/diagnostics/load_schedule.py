"""Schedule of a load generator's requests: by its own clock, or by the answers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

Kind = Literal["poisson", "fixed"]


@dataclass(frozen=True)
class LoadSchedule:
    """Schedule of one process's clients.

    clients: their numbers among all; rate_hz: of all clients together, None for a closed loop
    """

    clients: tuple[int, ...]
    all_clients: int
    rate_hz: float | None
    kind: Kind
    seed: int

    def schedules(self) -> list[Iterator[float] | None]:
        """Moments of each client; None for one that asks again once it is answered."""
        if self.rate_hz is None:
            return [None] * len(self.clients)
        each_hz = self.rate_hz / self.all_clients
        return [
            arrivals(each_hz, self.kind, self.seed * 100_003 + client, client / self.all_clients)
            for client in self.clients
        ]


def arrivals(rate_hz: float, kind: Kind, seed: int, phase: float = 0.0) -> Iterator[float]:
    """Moments at which requests are due, in seconds from the start, without end.

    They depend on no answer, so a server that stalls is asked as often as before, and the time
    that a request waits for its turn counts: otherwise the slow answers would hide how many
    requests had come meanwhile (coordinated omission).

    phase: 0 … 1, where between two evenly spaced requests the first one lies
    """
    if kind == "fixed":
        for index in count():  # not a sum, which would drift
            yield (index + phase) / rate_hz
    moments, at = random.Random(seed), 0.0
    while True:
        at += moments.expovariate(rate_hz)
        yield at
