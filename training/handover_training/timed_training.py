"""Training for a given time: a clock that goes on where a killed run was, and averaged weights."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Clock:
    """Counts seconds of training, those of earlier runs included."""

    total_s: float
    before_s: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far."""
        return self.before_s + time.monotonic() - self._start

    @property
    def share(self) -> float:
        """Share of the time that is over: 0 … 1."""
        return min(1.0, self.elapsed_s / self.total_s)

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return self.elapsed_s >= self.total_s


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
