"""Averaged weights: an exponential moving average of a module's trained weights."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# the first steps count for little: an average over a fifth of the steps so far
_EARLY, _OFFSET = 5.0, 50


class AveragedWeights:
    """An exponential moving average of a module's trained weights over its training."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self.steps = decay, 0
        self.weights = {name: value.detach().clone() for name, value in trained_weights(module)}

    @torch.no_grad()
    def follow(self, module: nn.Module) -> None:
        """Move towards the current weights; faster at first, over a fifth of the steps so far."""
        self.steps += 1
        rate = max(1 - self._decay, _EARLY / (_OFFSET + self.steps))
        for name, value in trained_weights(module):
            self.weights[name].lerp_(value, rate)

    def load(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Go on from the averages of an earlier run's first steps."""
        self.steps = steps
        for name, value in weights.items():
            self.weights[name].copy_(value)

    @contextmanager
    def used_in(self, module: nn.Module) -> Iterator[None]:
        """Use a module with its averaged weights for a while."""
        before = {name: value.detach().clone() for name, value in trained_weights(module)}
        put_weights(module, self.weights)
        try:
            yield
        finally:
            put_weights(module, before)


def trained_weights(module: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
    """Go through the weights that have gradients."""
    return ((name, value) for name, value in module.named_parameters() if value.requires_grad)


@torch.no_grad()
def put_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy given weights into a module."""
    for name, value in trained_weights(module):
        value.copy_(weights[name])
