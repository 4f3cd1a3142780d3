"""What the network's own modules give: the reference that engines are held against."""

from collections.abc import Sequence

import numpy as np
import torch

from handover_model.network.groot import Gr00tNetwork
from handover_model.processing.processor import Processor
from handover_model.processing.samples import ByteSample


@torch.inference_mode()
def reference_chunks(
    network: Gr00tNetwork,
    processor: Processor,
    samples: Sequence[ByteSample],
    noise: np.ndarray,
) -> np.ndarray:
    """Denoise (B, horizon, max_action_dim) float32 -> the same, in normalised units."""
    head = network.action_head
    device = head.action_encoder.W1.W.device
    inputs = processor.collate([sample.scaled() for sample in samples]).to(device, head.dtype)
    return network.generate(inputs, torch.from_numpy(noise).to(device)).cpu().numpy()
