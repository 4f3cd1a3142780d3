"""Sinusoidal embeddings of the flow's timestep, one for the action encoder, one for the DiT.

They multiply frequencies by up to 999, so the last bit of a frequency shows in the result: both
round where they did in the published weights' training. The exponential is computed in float64 and
then rounded, so that every machine gets the same frequencies (float32 exponentials differ in
their last bit between CPUs and GPUs).
"""

import math

import torch
from torch import Tensor


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
