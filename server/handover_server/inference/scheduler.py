"""Scheduler: the one thread that owns the policy loads it, warms it up and runs every batch.

A model on a GPU wants one thread, and Python gives it no second core anyway. Batches do not
wait to fill up, except in an optional window: what is queued when the policy is free is one batch.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from handover_proto import Policy, PolicySpec

from handover_server.inference.batch_runner import BatchRunner
from handover_server.inference.warm_up import warm_up
from handover_server.requests.fair_queue import FairQueue
from handover_server.requests.observer import Observer
from handover_server.requests.request import PendingRequest

logger = logging.getLogger(__name__)

_MEMORY_OF_PAST_BATCHES = 0.8  # weight of the past in the running mean of a request's time


class Scheduler:
    """Runs a policy on the requests submitted to it.

    load: makes the policy; called in the policy's own thread
    max_batch: upper bound for a batch, on top of the policy's own
    window_s: how long a batch that is not full waits for more requests
    """

    def __init__(
        self,
        load: Callable[[], Policy],
        max_batch: int | None = None,
        window_s: float = 0.0,
        observer: Observer | None = None,
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        self._window_s = window_s
        self._observer = observer or Observer()
        self._queue = FairQueue()
        self._policy: Policy | None = None
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
        self._seconds_per_request = 0.0
        self.runner = BatchRunner()
        self.ready: Future[PolicySpec] = Future()

    def start(self) -> None:
        """Load and warm up the policy; `ready` then has its spec, or the error."""
        self._thread.start()

    def submit(self, pending: PendingRequest) -> None:
        """Queue a decoded request, in place of an older one of its lane that still waits."""
        self._queue.put(pending)

    def discard(self, pending: PendingRequest) -> None:
        """Forget a settled request."""
        self._queue.discard(pending)

    @property
    def waiting(self) -> int:
        """How many requests wait for the policy."""
        return len(self._queue)

    def seconds_for(self, requests: int) -> float:
        """Seconds that `requests` requests will take, judged by the latest batches."""
        return requests * self._seconds_per_request

    def replace(self, policy: Policy) -> None:
        """Use another policy from the next batch on: warm, and with the same batch sizes."""
        self._policy = policy

    def close(self, timeout_s: float) -> bool:
        """Take no more requests; returns False when the policy is still busy after `timeout_s`."""
        self._queue.close()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            policy = self._load()
            spec = policy.spec
            max_batch = min(spec.max_batch, self._max_batch or spec.max_batch)
            max_batch = warm_up(policy, max_batch)
        except BaseException as error:
            self.ready.set_exception(error)
            return
        self._policy = policy
        del policy  # or a replaced policy would stay in memory
        self.ready.set_result(dataclasses.replace(spec, max_batch=max_batch))
        while taken := self._queue.take(max_batch, self._window_s):
            self.run_batch(self._policy, taken)
            taken.clear()  # an idle policy holds no request's images
            self.runner.run_idle_work(self._policy)

    def run_batch(self, policy: Policy, taken: list[PendingRequest]) -> None:
        """Compute and settle those of the requests that are still waited for."""
        began = time.perf_counter()
        claimed = [(pending, pending.start()) for pending in taken]
        batch = [(pending, request) for pending, request in claimed if request is not None]
        if not batch:
            return
        self._observer.computed(len(batch))
        outcomes = self.runner.run(policy, [request for _, request in batch])
        for (pending, _), outcome in zip(batch, outcomes, strict=True):
            pending.checkpoint_hash = policy.spec.checkpoint_hash
            pending.settle(outcome)
        seconds = (time.perf_counter() - began) / len(batch)
        self._seconds_per_request += (1 - _MEMORY_OF_PAST_BATCHES) * (
            seconds - self._seconds_per_request
        )
