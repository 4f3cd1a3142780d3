"""Computation of frozen features: the backbone's states below its first trained layer."""

import hashlib
from collections.abc import Sequence

import torch
from handover_model.processing import NetworkSample, Processor
from torch import Tensor
from torch.nn import functional

from handover_training.network.training_module import TrainingModule

BATCH = 32  # windows that are computed together


class FrozenFeatures:
    """Computes what `TrainingModule.forward` takes as `hidden`."""

    def __init__(
        self, module: TrainingModule, processor: Processor, device: torch.device, *, mixed: bool
    ) -> None:
        """mixed: in bfloat16, as the training step computes too."""
        assert module.frozen_depth is not None
        self.depth = module.frozen_depth
        self._backbone, self._processor = module.network.backbone, processor
        self._device, self._mixed = device, mixed
        self.dtype = self._backbone.model.language_model.model.embed_tokens.weight.dtype

    def weights_hash(self) -> str:
        """Return the SHA-256 of the weights that the features depend on: those that stay frozen."""
        digest = hashlib.sha256()
        for name, weight in sorted(self._backbone.named_parameters()):
            if not weight.requires_grad:
                digest.update(name.encode())
                digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def compute(self, samples: Sequence[NetworkSample]) -> Tensor:
        """Compute the states of N observations' tokens: (N, S, hidden), left-padded, on the CPU."""
        parts = []
        for first in range(0, len(samples), BATCH):
            inputs = self._processor.collate(samples[first : first + BATCH])
            inputs = inputs.to(self._device, torch.float32)
            with (
                torch.no_grad(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed),
            ):
                parts.append(
                    self._backbone.lower(
                        inputs.images, inputs.input_ids, inputs.attention_mask, self.depth
                    ).to("cpu", self.dtype)
                )
        longest = max(part.shape[1] for part in parts)
        return torch.cat(
            [functional.pad(part, (0, 0, longest - part.shape[1], 0)) for part in parts]
        )
