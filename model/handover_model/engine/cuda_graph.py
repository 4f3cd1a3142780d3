"""One CUDA graph for a whole chunk: its kernels are started by one call instead of thousands.

Only for CUDA; everything that can be checked without a GPU is outside of this file. The inputs'
and the output's memory is fixed when the graph is captured; all graphs share one memory pool, so
that what they need between input and output is that of the largest.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 3  # runs before capture: libraries choose their kernels and take their workspaces


@cache
def _warm_up_stream(device: torch.device) -> torch.cuda.Stream:
    """Give one for all warm-ups: cuBLAS keeps a workspace for each stream that it has seen."""
    return torch.cuda.Stream(device)


class CapturedChunk:
    """A chunk's function, captured for one bucket. For one thread: the policy's."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Sequence[Tensor],
        pool: Any = None,
    ) -> None:
        """Capture a function for tensors of these shapes, whose memory becomes the graph's own."""
        self._inputs = list(inputs)
        self._function = function  # the code of its kernels has to stay loaded
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._inputs[0].device):
            self._capture(pool)

    def _capture(self, pool: Any) -> None:
        stream = _warm_up_stream(self._inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        # other threads may compile or load meanwhile: their calls must not break the capture
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._output = self._function(*self._inputs)

    @property
    def pool(self) -> Any:
        """The memory that other graphs may share, as no two replay at once."""
        return self._graph.pool()

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Copy inputs in (from pinned memory, say), replay, and give a copy of the output."""
        for static, fresh in zip(self._inputs, inputs, strict=True):
            static.copy_(fresh, non_blocking=True)
        self._graph.replay()
        return self._output.clone()  # the next replay writes over it
