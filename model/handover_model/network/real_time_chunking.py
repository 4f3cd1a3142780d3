"""Real-time chunking: samples a chunk that continues what the robot is still executing.

Two ways. A policy that has learnt it (training-time action conditioning: Black, Ren, Equi and
Levine, arXiv:2512.05964) reads the steps that will have been executed as they are: CleanPrefix. Any
other is guided to them, at the cost of a backward pass in each step: PrefixGuide.

The guidance is after Black, Galliker and Levine, "Real-Time Execution of Action Chunking Flow
Policies", arXiv:2506.07339; equations are numbered as there. Time goes from 0 (noise) to 1
(action), in the paper as in GR00T. The first d steps of the former chunk's rest will have been
executed when the new chunk arrives, so they are frozen; the other steps of the rest draw the new
chunk towards them, ever less; what follows is free.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Velocity = Callable[[Tensor, int], Tensor]
"""(B, H, A) float32 actions and the number of the denoising step -> their velocity, (B, H, A)"""

Sampler = Callable[[Velocity, Tensor, int], Tensor]
"""Velocity, noise (B, H, A) and the number of denoising steps -> a chunk, (B, H, A) float32"""

# The paper's beta, which bounds the guidance where its own weight would be unbounded.
MAX_GUIDANCE = 5.0


@dataclass(frozen=True)
class PrefixGuide:
    """The prefixes that a batch of B chunks has to continue, in the network's normalized units."""

    target: Tensor
    """(B, H, A) float32; ignored at places of weight 0"""
    weight: Tensor
    """(B, H, A) float32 from 0 (free) to 1"""
    frozen: Tensor
    """(B, H, A) bool: places that the chunk has to take over from `target` unchanged"""

    def row(self, place: int) -> "PrefixGuide":
        """Return one chunk's guide as a batch of one."""
        one = slice(place, place + 1)
        return PrefixGuide(self.target[one], self.weight[one], self.frozen[one])

    def to(self, device: torch.device) -> "PrefixGuide":
        """Move all tensors to a device."""
        return PrefixGuide(self.target.to(device), self.weight.to(device), self.frozen.to(device))


@dataclass(frozen=True)
class CleanPrefix:
    """The steps that a batch of B chunks begins with, in the network's normalized units."""

    target: Tensor
    """(B, H, A) float32; ignored where `clean` is false"""
    clean: Tensor
    """(B, H) bool: steps that are given; none of them in a chunk that continues nothing"""

    def row(self, place: int) -> "CleanPrefix":
        """Return one chunk's prefix as a batch of one."""
        one = slice(place, place + 1)
        return CleanPrefix(self.target[one], self.clean[one])

    def to(self, device: torch.device) -> "CleanPrefix":
        """Move both tensors to a device."""
        return CleanPrefix(self.target.to(device), self.clean.to(device))


Prefix = PrefixGuide | CleanPrefix


def no_prefix(noise: Tensor) -> CleanPrefix:
    """Return the prefix of chunks that continue nothing: noise (B, H, A)."""
    return CleanPrefix(torch.zeros_like(noise), torch.zeros_like(noise[..., 0], dtype=torch.bool))


def choose_sampler(prefix: Prefix | None) -> Sampler:
    """Return the sampler for a prefix; `sample` for none.

    For a CleanPrefix, the velocity it is called with has to know of `prefix.clean`.
    """
    if prefix is None:
        return sample

    def continued(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
        if isinstance(prefix, CleanPrefix):
            return sample_after(velocity, noise, steps, prefix)
        return sample_guided(velocity, noise, steps, prefix)

    return continued


def soft_mask(delay: int, length: int, horizon: int) -> np.ndarray:
    """Weigh a chunk's steps: 1 while frozen, then falling to 0 at the prefix's end (equation 5).

    delay: frozen steps, d; length: steps of the prefix, H - s in the paper. (horizon,) float64.
    """
    step = np.arange(horizon)
    share = np.clip((length - step) / (length - delay + 1), 0, 1)
    falling = share * np.expm1(share) / np.expm1(1)
    return np.where(step < delay, 1.0, np.where(step < length, falling, 0.0))


def guidance(time: float, bound: float = MAX_GUIDANCE) -> float:
    """Return the weight of the guidance at a flow time in [0, 1) (equations 2 and 4).

    (1 - t) / (t r²) with r² = (1 - t)² / (t² + (1 - t)²), which is unbounded at 0.
    """
    left = 1.0 - time
    spread = left**2 / (time**2 + left**2)
    return bound if time == 0 else min(bound, left / (time * spread))


def sample(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
    """Follow the velocity from noise to a chunk in Euler steps: (B, H, A) -> the same, float32.

    Between the steps the chunk stays in float32 whatever the network's type.
    """
    actions = noise.float()
    for step in range(steps):
        actions = actions + velocity(actions, step).float() / steps
    return actions


def sample_after(velocity: Velocity, noise: Tensor, steps: int, prefix: CleanPrefix) -> Tensor:
    """Follow the velocity from noise, but for the prefix's steps, which stay: see `sample`."""
    clean = prefix.clean[..., None]
    actions = torch.where(clean, prefix.target, noise.float())
    for step in range(steps):
        moved = actions + velocity(actions, step).float() / steps
        actions = torch.where(clean, prefix.target, moved)
    return actions


def sample_guided(velocity: Velocity, noise: Tensor, steps: int, guide: PrefixGuide) -> Tensor:
    """Follow the velocity, drawn towards a prefix (equations 1 to 3); shapes as in `sample`.

    `velocity` must be differentiable in the actions; memory is that of one step's backward pass.
    Not for inference mode, whose tensors have no gradients.

    Beyond the paper, frozen places move on the straight line from their noise to their target, as
    in training, and so end there exactly; the paper leaves them to the guidance alone.
    """
    start = noise.float()
    actions = start
    for step in range(steps):
        time = step / steps
        drift, pull = _estimate(velocity, actions, step, time, guide)
        actions = actions + (drift + guidance(time) * pull) / steps
        share = (step + 1) / steps
        line = (1 - share) * start + share * guide.target
        actions = torch.where(guide.frozen, line, actions)
    return actions


def _estimate(
    velocity: Velocity, actions: Tensor, step: int, time: float, guide: PrefixGuide
) -> tuple[Tensor, Tensor]:
    """Return the velocity, and the pull of the expected chunk to the target: (B, H, A) both.

    The pull is the product of the weighted error and the expected chunk's Jacobian: a change of
    one step that would change the error of another moves both.
    """
    with torch.enable_grad():
        point = actions.detach().requires_grad_()
        drift = velocity(point, step).float()
        expected = point + (1 - time) * drift
        error = (guide.target - expected.detach()) * guide.weight
        (pull,) = torch.autograd.grad(expected, point, error)
    return drift.detach(), pull
