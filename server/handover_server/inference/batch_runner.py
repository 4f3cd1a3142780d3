"""Calls of the policy: since when one lasts, and what becomes of a batch that fails."""

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

from handover_server.inference.gpu import gpu_is_lost
from handover_server.inference.memory import ran_out_of_memory, release_memory
from handover_server.inference.output_check import check_output
from handover_server.requests.incident import record_incident
from handover_server.requests.request import Outcome

logger = logging.getLogger(__name__)

_NO_MEMORY = "the policy ran out of memory on this request; try again in 1 s"
_GPU_LOST = "the GPU failed, and answers nothing until this server is started again"
_MEMORY_RETRY_S = 1.0  # for whatever else is using the memory to be done with it


class BatchRunner:
    """Calls a policy in the policy's thread, while others may look how long a call lasts.

    lost: has a reason once no call can succeed any more
    """

    def __init__(self) -> None:
        self.lost: Future[str] = Future()
        self._call: tuple[float, int] | None = None  # when it began, in which thread

    @property
    def began_s(self) -> float | None:
        """When the call under way began, seconds of time.monotonic(); None between calls."""
        call = self._call
        return None if call is None else call[0]

    def where(self) -> str:
        """Tell the line of code at which the call under way stands, as far as Python sees it."""
        call = self._call
        frame = None if call is None else sys._current_frames().get(call[1])
        if frame is None:
            return "between calls"
        code = frame.f_code
        return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"

    def improve(self, policy: Policy) -> None:
        """Let a policy that works on itself do a piece of it; a failure is its own to survive."""
        if not isinstance(policy, IdleWork):
            return
        self._call = (time.monotonic(), threading.get_ident())
        try:
            policy.run_idle_work()
        except Exception as error:
            record_incident("the policy could not improve itself", error)
        finally:
            self._call = None

    def outcomes(self, policy: Policy, requests: Sequence[PolicyRequest]) -> list[Outcome]:
        """Ask for all; one that is refused does not cost the others theirs.

        A batch that does not fit in memory is asked for in halves, and a request that does not fit
        alone is Overloaded: it may fit when others have given their memory back.
        """
        memory = False
        try:
            return list(self._infer(policy, requests))
        except PolicyError as error:
            if len(requests) == 1:
                return [error]
        except BaseException as error:
            # Even SystemExit, which a library may raise: it would end the policy's thread and
            # leave a server that looks alive.
            memory = ran_out_of_memory(error)
            if not memory:
                return [self._failure(error)] * len(requests)
        # From here on no traceback holds what the failed batch had taken.
        if memory and len(requests) == 1:
            release_memory()
            logger.warning("the policy ran out of memory on a single request")
            return [Overloaded(_NO_MEMORY, _MEMORY_RETRY_S)]
        size = _make_room(len(requests)) if memory else 1
        parts = [requests[at : at + size] for at in range(0, len(requests), size)]
        return [outcome for part in parts for outcome in self.outcomes(policy, part)]

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
    """Give memory back; returns the size of the batches to try instead of one of `requests`."""
    release_memory()
    half = (requests + 1) // 2
    logger.warning(
        "a batch of %d does not fit in memory and is computed in halves; --max-batch %d avoids it",
        requests,
        half,
    )
    return half
