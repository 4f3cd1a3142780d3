"""Reference engine: the network's own modules, and the comparison of other engines with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from handover_model.engine.interface import EngineOutput
from handover_model.errors import ModalityError
from handover_model.network.groot import Gr00tNetwork
from handover_model.network.real_time_chunking import Prefix
from handover_model.processing.processor import Processor
from handover_model.processing.samples import ByteSample

FLOAT32_ATOL = 1e-3  # normalized units; rounding alone gives some 1e-6
ROUNDED_COSINE = 0.99  # at least, in bfloat16 and FP8; two orders of rounding give more


class ReferenceEngine:
    """Computes chunks with the network's own modules; it leaves nothing out."""

    name = "reference"
    prepares_frames = False

    def __init__(self, network: Gr00tNetwork, processor: Processor) -> None:
        self._network, self._processor = network, processor
        self.precision = network.action_head.dtype
        self._device = network.action_head.action_encoder.W1.W.device

    def run(
        self, samples: Sequence[ByteSample], noise: np.ndarray, prefix: Prefix | None = None
    ) -> EngineOutput:
        """Denoise (B, horizon, max_action_dim) float32; a PrefixGuide: not in inference mode."""
        begin = self._clock()
        scaled = [sample.scaled() for sample in samples]
        inputs = self._processor.collate(scaled).to(self._device, self.precision)
        features = self._network.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        middle = self._clock()
        start = torch.from_numpy(noise).to(self._device)
        prefix = prefix.to(self._device) if prefix is not None else None
        chunk = self._network.action_head.generate(
            features, inputs.state, inputs.embodiment, start, prefix
        )
        chunks = chunk.cpu().numpy()
        return EngineOutput(chunks, 1e3 * (middle - begin), 1e3 * (self._clock() - middle))

    def _clock(self) -> float:
        """Read the time in seconds, after a GPU has done what it was given."""
        if self._device.type == "cuda":
            # not the device: another thread may compile, or capture, which that would break
            torch.cuda.current_stream(self._device).synchronize()
        return time.perf_counter()


@dataclass(frozen=True)
class Agreement:
    """Distance between two batches of chunks."""

    difference: float
    """The largest, in normalized units"""
    cosine: float
    """1 when they point in the same direction as vectors"""


def compare(got: np.ndarray, want: np.ndarray) -> Agreement:
    """Compare chunks of one shape; NaN in one gives NaN in both figures."""
    a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    return Agreement(float(np.abs(a - b).max()), cosine)


def check_alike(got: np.ndarray, want: np.ndarray, dtype: torch.dtype, what: str) -> Agreement:
    """Compare chunks; ModalityError when they differ by more than rounding explains.

    dtype: the coarser one, where they were computed in two.
    """
    found = compare(got, want)
    if dtype == torch.float32:
        alike = found.difference <= FLOAT32_ATOL
    else:
        alike = found.cosine >= ROUNDED_COSINE
    if not alike:
        raise ModalityError(
            f"{what} differ by {found.difference:.2e} (cosine {found.cosine:.6f}) in {dtype}"
        )
    return found
