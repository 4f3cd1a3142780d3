"""What a policy needs of an engine, whichever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from handover_model.engine.functional.action_head import Sampler
from handover_model.network.real_time_chunking import PrefixGuide, Velocity, sample, sample_guided
from handover_model.processing.samples import ByteSample


@dataclass(frozen=True)
class EngineOutput:
    """What the network gives for a batch, and how long its two halves took."""

    chunks: np.ndarray
    """(B, horizon, max_action_dim) float32, normalised"""
    backbone_ms: float
    action_head_ms: float


class InferenceEngine(Protocol):
    """Computes chunks as the network's own modules would."""

    @property
    def name(self) -> str:
        """What it is, for the log."""
        ...

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, guide: PrefixGuide | None = None
    ) -> EngineOutput | None:
        """Denoise (B, horizon, max_action_dim) float32; None for what it leaves to the modules."""
        ...


def choose_sampler(guide: PrefixGuide | None) -> Sampler:
    """Follow the velocity alone, or drawn towards a guide."""
    if guide is None:
        return sample

    def guided(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
        return sample_guided(velocity, noise, steps, guide)

    return guided
