"""Flow matching: a training step's random draws, the point between noise and action, timesteps.

Everything here is float32 whatever the network's type: rounded to bfloat16, the time would reach
only 254 of the 1000 buckets.

The timestep's sinusoids, one for the action encoder and one for the DiT, multiply frequencies by up
to 999, so the last bit of a frequency shows in the result: both round where they did in the
published weights' training. The exponential is computed in float64 and then rounded, so that every
machine gets the same frequencies (float32 exponentials differ in their last bit between CPUs and
GPUs).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handover_model.network.config import ModelConfig


@dataclass(frozen=True)
class FlowDraw:
    """The random numbers of one training step, for a batch of B samples."""

    noise: Tensor
    """(B, horizon, action dim) float32, standard normal"""
    time: Tensor
    """(B,) float32 in [0, noise_s]: 0 is noise, 1 is the action"""
    drops_state: Tensor
    """(B,) bool: samples whose state token is replaced by the learned mask token"""
    state_noise: Tensor | None = None
    """(B, state steps, width) float32 added to the state tokens, already scaled; None for none"""
    delay: Tensor | None = None
    """(B,) int64: steps at a chunk's start that are given clean (see clean_steps); None for none"""

    def to(self, device: torch.device) -> "FlowDraw":
        """Move all tensors to a device."""
        return FlowDraw(
            self.noise.to(device),
            self.time.to(device),
            self.drops_state.to(device),
            None if self.state_noise is None else self.state_noise.to(device),
            None if self.delay is None else self.delay.to(device),
        )


@dataclass(frozen=True)
class FlowPoint:
    """A point on the path from noise to action, and its target velocity."""

    noisy: Tensor
    """(B, horizon, action dim) float32"""
    velocity: Tensor
    """(B, horizon, action dim) float32, action - noise"""
    bucket: Tensor
    """(B,) int64: the time as the network's bucket"""


def draw_flow(
    config: ModelConfig,
    samples: int,
    generator: np.random.Generator,
    *,
    state_steps: int = 1,
    training: bool = True,
) -> FlowDraw:
    """Draw a training step's random numbers on the CPU; the same generator state, the same draw.

    State tokens are dropped with the configured probability also when not training, as the
    weights' own objective does; noise on them is for training alone.
    """
    shape = (samples, config.action_horizon, config.max_action_dim)
    noise = generator.standard_normal(shape, dtype=np.float32)
    beta = generator.beta(config.noise_beta_alpha, config.noise_beta_beta, samples)
    time = ((1.0 - beta) * config.noise_s).astype(np.float32)
    drops_state = generator.random(samples) < config.state_dropout_prob
    state_noise = None
    if training and config.state_additive_noise_scale > 0:
        tokens = (samples, state_steps, config.input_embedding_dim)
        drawn = generator.standard_normal(tokens, dtype=np.float32)
        state_noise = torch.from_numpy(drawn * np.float32(config.state_additive_noise_scale))
    return FlowDraw(
        torch.from_numpy(noise),
        torch.from_numpy(time),
        torch.from_numpy(drops_state),
        state_noise,
    )


def draw_delay(most: int, generator: np.random.Generator) -> int:
    """Draw how many steps of a training chunk are given clean: 0 in half of the draws, else 1 to
    `most`, all as likely.

    The first steps are executed, and they are in the loss of short delays alone: were all delays
    as likely, a long one would take the training from them.
    """
    return int(generator.integers(1, most, endpoint=True)) if generator.random() < 0.5 else 0


def clean_steps(delay: Tensor, horizon: int) -> Tensor:
    """Mark the first steps of chunks: (B,) int64 -> (B, horizon) bool.

    Training-time action conditioning (Black, Ren, Equi and Levine, arXiv:2512.05964): the policy
    reads the steps that will have been executed before its chunk arrives, without noise and at a
    timestep of their own, and learns the rest given them.
    """
    return torch.arange(horizon, device=delay.device) < delay[:, None]


def flow_point(action: Tensor, noise: Tensor, time: Tensor, buckets: int) -> FlowPoint:
    """Interpolate from noise to action at `time`: (B, H, A), (B, H, A), (B,) float32."""
    action, noise, time = action.float(), noise.float(), time.float()
    share = time[:, None, None]
    noisy = (1 - share) * noise + share * action
    return FlowPoint(noisy, action - noise, (time * buckets).long())


def action_sinusoid(bucket: Tensor, width: int) -> Tensor:
    """Embed timesteps for the action encoder, sines first: (...) int64 -> (..., width) float32."""
    half = width // 2
    step = torch.log(torch.tensor(10000.0, dtype=torch.float32)) / half
    angles = _angles(bucket, -torch.arange(half, dtype=torch.float32) * step)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def dit_sinusoid(bucket: Tensor, width: int = 256) -> Tensor:
    """Embed timesteps for the transformer, cosines first: (...) int64 -> (..., width) float32."""
    half = width // 2
    exponents = -math.log(10000) * torch.arange(half, dtype=torch.float32) / (half - 1)
    angles = _angles(bucket, exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _angles(bucket: Tensor, exponents: Tensor) -> Tensor:
    """Multiply timesteps with exp(exponents): (...), (half,) float32 -> (..., half) float32."""
    frequencies = torch.exp(exponents.double()).float().to(bucket.device)
    return bucket.float()[..., None] * frequencies
