"""Averages of a module's weights over its training."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class AveragedWeights:
    """An exponential moving average of a module's weights."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self.steps = decay, 0
        self.weights = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def follow(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """Move towards the current weights; faster at first, over a fifth of the steps so far."""
        self.steps += 1
        rate = max(1 - self._decay, 5.0 / (50 + self.steps))
        for name, value in named:
            self.weights[name].lerp_(value, rate)

    @torch.no_grad()
    def put_into(self, module: nn.Module) -> dict[str, Tensor]:
        """Put the averages into a module; gives the weights that were there."""
        before = {}
        for name, value in module.named_parameters():
            before[name] = value.detach().clone()
            value.copy_(self.weights[name])
        return before


@torch.no_grad()
def put_back(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put given weights into a module."""
    for name, value in module.named_parameters():
        value.copy_(weights[name])
