"""When a load generator's requests are due: by a clock of its own, or by the answers."""

import random
from collections.abc import Iterator
from typing import Literal


def arrivals(
    rate_hz: float, kind: Literal["poisson", "fixed"], seed: int, phase: float = 0.0
) -> Iterator[float]:
    """Give the moments at which requests are due, in seconds from the start, without end.

    They depend on no answer, so a server that stalls is asked as often as before, and the time
    that a request waits for its turn counts: otherwise the slow answers would hide how many
    requests had come meanwhile (coordinated omission).

    phase: 0 … 1, where between two evenly spaced requests the first one lies
    """
    moments = random.Random(seed)
    at = phase / rate_hz if kind == "fixed" else moments.expovariate(rate_hz)
    while True:
        yield at
        at += 1 / rate_hz if kind == "fixed" else moments.expovariate(rate_hz)
