"""CUDA graph of a whole chunk: one call launches its kernels instead of thousands.

Only for CUDA; everything that can be checked without a GPU is outside this file. The memory of
inputs and output is fixed when the graph is captured; all graphs share one memory pool, so that
their intermediate memory is that of the largest.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 3  # runs before capture, in which libraries choose kernels and allocate workspaces


@cache
def _warm_up_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream for all warm-ups: cuBLAS keeps a workspace for each it has seen."""
    return torch.cuda.Stream(device)


@contextmanager
def _state_restored(pool: Any) -> Iterator[None]:
    """Restore the process's state after a capture that failed.

    PyTorch (2.13) then stays in the capture's stream, and its allocator may believe that the
    capture continues: it would never free its cache again.
    """
    with torch.cuda.stream(torch.cuda.current_stream()):
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # it had not begun, or its end was noticed
                end_capture = torch._C._cuda_endAllocateToPool  # pyright: ignore
                end_capture(torch.cuda.current_device(), pool)
            raise


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection: a graph or a kernel freed during a capture breaks it.

    PyTorch collected before each capture until 2.8 (pytorch/pytorch#161037).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _drop_workspaces(like: Tensor) -> None:
    """Make the next capture keep cuBLAS's workspace in its own pool.

    PyTorch (2.13) keeps one per thread in the pool of the first graph that used it, for all that
    are captured in that stream, and drops it with any of them (pytorch/pytorch#193402): a policy
    would keep writing where another's graphs were, once these are gone.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        like.clone()
    graph.reset()


class CapturedChunk:
    """A chunk's function captured for one bucket. Only for the policy's thread."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        pool: Any = None,
    ) -> None:
        """Capture a function for tensors of these shapes, whose memory becomes the graph's own."""
        self._inputs = list(inputs)
        self._function = function  # its kernels' code has to stay loaded
        self._graph = torch.cuda.CUDAGraph()
        # other graphs may share this memory: no two replay at once
        self.pool = pool or torch.cuda.graph_pool_handle()
        device = self._inputs[0].device
        with torch.cuda.device(device), _state_restored(self.pool), _no_garbage_collection():
            if pool is None:
                _drop_workspaces(self._inputs[0])
            self._capture()

    def _capture(self) -> None:
        stream = _warm_up_stream(self._inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        # other threads may compile or load meanwhile; their calls must not break the capture
        with torch.cuda.graph(self._graph, pool=self.pool, capture_error_mode="thread_local"):
            self._output = self._function(*self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Copy inputs in (from pinned memory, say), replay, and return a copy of the output."""
        for static, fresh in zip(self._inputs, inputs, strict=True):
            static.copy_(fresh, non_blocking=True)
        self._graph.replay()
        return self._output.clone()  # the next replay overwrites it
