"""Pending request: one request on its path through the server, from bytes to outcome."""

import dataclasses
import itertools
import secrets
import threading
import time
from collections.abc import Callable

from handover_proto import DeadlinePassed, PolicyError, PolicyOutput, PolicyRequest, StageDurations

from handover_server.requests.outcome import Outcome, without_frames
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import ANYONE, Identity

_SEED_BITS = 53  # every client's number type holds that many exactly, JSON's too
_arrivals = itertools.count(1)


class Lane:
    """A place in each queue: a stream has one, and its newest request takes the place over."""

    def __init__(self, client: Identity = ANYONE) -> None:
        self.client = client
        self.newest: PendingRequest | None = None  # while in flight


class PendingRequest:
    """A request and its outcome; settled exactly once, by the thread that comes first.

    data: the serialized InferRequest, released once it is decoded or the request is settled
    request: the decoded request, from decoding until the policy has answered
    seed: of the request, known once it is decoded
    sequence, is_compressed (whether any image is): as far as the bytes could be read
    began_s: time of arrival, seconds of time.perf_counter()
    checkpoint_hash: of the policy that computed the chunk, known from then on
    is_recorded: whether a recording holds it, which then wants its outcome too
    deadline: seconds of time.monotonic() after which nobody waits for the outcome; None for never
    on_settled: called once with the outcome, from the thread that settles it
    """

    def __init__(
        self,
        data: bytes,
        head: RequestHead,
        lane: Lane,
        deadline: float | None,
        on_settled: Callable[[Outcome], None],
    ) -> None:
        self.data: bytes | None = data
        self.request: PolicyRequest | None = None
        self.seed = 0
        self.sequence = head.sequence
        self.is_compressed = head.is_compressed
        self.lane = lane
        self.arrival = next(_arrivals)
        self.queue_ms = 0.0
        self.decode_ms = 0.0
        self.checkpoint_hash = ""
        self.is_recorded = False
        self._deadline = deadline
        self._on_settled = on_settled
        self._lock = threading.Lock()
        self._started = False
        self._settled = False
        self.began_s = self._stage_began = time.perf_counter()

    def start_decoding(self) -> bytes | None:
        """Return the bytes to decode, or None when nobody waits for the outcome anymore."""
        self.queue_ms += self._stage_ms()
        self._drop_if_late()
        return self.data

    def finish_decoding(self, request: PolicyRequest) -> None:
        """Take the decoded request, draw a seed if it has none, and release the bytes."""
        self.decode_ms = self._stage_ms()
        if request.seed is None:
            request = dataclasses.replace(request, seed=secrets.randbits(_SEED_BITS))
        assert request.seed is not None
        self.request, self.seed = request, request.seed
        self.data = None

    def start(self) -> PolicyRequest | None:
        """Claim the request for the policy; returns None when nobody waits for the outcome anymore.

        It cannot be withdrawn after that.
        """
        self.queue_ms += self._stage_ms()
        self._drop_if_late()
        with self._lock:
            if self._settled:
                return None
            self._started = True
        return self.request

    def withdraw(self, error: PolicyError) -> bool:
        """Settle with `error` unless the policy has started on it; returns whether it did."""
        with self._lock:
            if self._started or self._settled:
                return False
        self.settle(error)
        return True

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome; only the first one counts."""
        with self._lock:
            if self._settled:
                return
            self._settled = True
        self.data = self.request = None
        self._on_settled(without_frames(outcome))

    def durations(self, output: PolicyOutput) -> StageDurations:
        """Return the policy's durations with those of waiting and decoding."""
        return dataclasses.replace(
            output.durations, queue_ms=self.queue_ms, decode_ms=self.decode_ms
        )

    def _drop_if_late(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.withdraw(
                DeadlinePassed("the deadline, or max_age_ms, passed while the request was waiting")
            )

    def _stage_ms(self) -> float:
        """Return the milliseconds since the last call."""
        now = time.perf_counter()
        duration_ms = (now - self._stage_began) * 1e3
        self._stage_began = now
        return duration_ms
