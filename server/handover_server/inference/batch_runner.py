"""Batch runner: calls the policy, times the call, and recovers from batches that fail."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from handover_proto import (
    IdleWork,
    Overloaded,
    Policy,
    PolicyError,
    PolicyOutput,
    PolicyRequest,
    ServerUnavailable,
)

from handover_server.inference.memory import gpu_is_lost, ran_out_of_memory, release_memory
from handover_server.inference.policy_check import check_output
from handover_server.requests.outcome import Outcome, record_incident

logger = logging.getLogger(__name__)

_NO_MEMORY = "the policy ran out of memory on this request; try again in 1 s"
_GPU_LOST = "the GPU failed; it computes nothing until this server is restarted"
_MEMORY_RETRY_S = 1.0  # for other users of the memory to finish


class BatchRunner:
    """Calls a policy in the policy's thread; other threads may read how long a call has lasted.

    lost: holds the reason once no call can succeed anymore
    """

    def __init__(self) -> None:
        self.lost: Future[str] = Future()
        self._call: tuple[float, int] | None = None  # when it began, in which thread

    @property
    def began_s(self) -> float | None:
        """When the current call began, seconds of time.monotonic(); None between calls."""
        call = self._call
        return None if call is None else call[0]

    def location(self) -> str:
        """Return the line of Python code that the current call is executing."""
        call = self._call
        frame = None if call is None else sys._current_frames().get(call[1])
        if frame is None:
            return "between calls"
        code = frame.f_code
        return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"

    def run_idle_work(self, policy: Policy) -> None:
        """Run one piece of a policy's idle work, if it has any; a failure is logged."""
        if not isinstance(policy, IdleWork):
            return
        self._call = (time.monotonic(), threading.get_ident())
        try:
            policy.run_idle_work()
        except Exception as error:
            record_incident("the policy's idle work failed", error)
        finally:
            self._call = None

    def run(self, policy: Policy, requests: Sequence[PolicyRequest]) -> list[Outcome]:
        """Compute a batch; a request that the policy refuses does not fail the others.

        A batch that does not fit in memory is computed in halves, and a request that does not fit
        alone is Overloaded: it may fit once other processes have freed their memory.
        """
        memory = False
        try:
            return list(self._infer(policy, requests))
        except PolicyError as error:
            if len(requests) == 1:
                return [error]
        except BaseException as error:
            # Even SystemExit, which a library may raise: it would end the policy's thread and
            # leave a server that only looks alive.
            memory = ran_out_of_memory(error)
            if not memory:
                return [self._failure(error)] * len(requests)
        # From here on no traceback holds the failed batch's tensors.
        if memory and len(requests) == 1:
            release_memory()
            logger.warning("the policy ran out of memory on a single request")
            return [Overloaded(_NO_MEMORY, _MEMORY_RETRY_S)]
        size = _make_room(len(requests)) if memory else 1
        parts = [requests[at : at + size] for at in range(0, len(requests), size)]
        return [outcome for part in parts for outcome in self.run(policy, part)]

    def _failure(self, error: BaseException) -> PolicyError:
        incident = record_incident("the policy failed", error)
        if not gpu_is_lost():
            return incident
        if not self.lost.done():
            self.lost.set_result(_GPU_LOST)
        return ServerUnavailable(_GPU_LOST)

    def _infer(self, policy: Policy, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        self._call = (time.monotonic(), threading.get_ident())
        try:
            outputs = policy.infer(requests)
        finally:
            self._call = None
        check_output(outputs, len(requests), policy.spec)
        return outputs


def _make_room(requests: int) -> int:
    """Free memory; returns the batch size to try instead of `requests`."""
    release_memory()
    half = (requests + 1) // 2
    logger.warning(
        "a batch of %d does not fit in memory and is computed in halves; --max-batch %d avoids it",
        requests,
        half,
    )
    return half
