"""Interface that every inference engine implements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from handover_model.network.real_time_chunking import Prefix
from handover_model.processing.samples import ByteSample


@dataclass(frozen=True)
class EngineOutput:
    """The network's output for a batch, and the durations of its two halves."""

    chunks: np.ndarray
    """(B, horizon, max_action_dim) float32, normalized"""
    backbone_ms: float
    action_head_ms: float


class InferenceEngine(Protocol):
    """Computes chunks as the network's own modules would."""

    @property
    def name(self) -> str:
        """The engine's name, for the log."""
        ...

    @property
    def precision(self) -> torch.dtype:
        """The type in which the large layers compute."""
        ...

    @property
    def prepares_frames(self) -> bool:
        """Whether it takes frames as cameras give them (RawSample) and prepares them itself."""
        ...

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, prefix: Prefix | None = None
    ) -> EngineOutput | None:
        """Denoise (B, horizon, max_action_dim) float32; None for what it leaves to the modules."""
        ...
