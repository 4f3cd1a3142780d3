"""Training module: the network with its loss, from a batch's tensors.

Frozen parts are in evaluation mode and have no gradients; noising, masks and the loss itself are
float32 whatever the network computes in.
"""

from typing import Any

import torch
from handover_model.network import FlowDraw, FlowLoss, Gr00tNetwork, ModelInput, TrainingTarget
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from handover_training.network.dropout import SampleKeys, use_sample_dropout
from handover_training.network.tuning import frozen_depth, train_mode

MASK_SUM_FLOOR = 1e-6


class TrainingModule(nn.Module):
    """Wraps a network; its state dict is the network's under `network.`."""

    _no_split_modules = ("VisionLayer", "Qwen3DecoderLayer", "Block")  # FSDP shards by these

    def __init__(self, network: Gr00tNetwork, shares: int) -> None:
        """shares: micro-batches (processes x accumulation) that a global batch is divided into."""
        super().__init__()
        self.network = network
        self._shares = shares
        self.frozen_depth = frozen_depth(network.config)
        """Language layers below the first trained one; None where nothing below is frozen"""
        self._keys = SampleKeys()
        use_sample_dropout(network, self._keys)

    def train(self, mode: bool = True) -> "TrainingModule":
        """Train what is tuned; the rest stays in evaluation mode."""
        super().train(mode)
        if mode:
            train_mode(self.network)
        return self

    def forward(
        self,
        images: list[Tensor],
        input_ids: Tensor,
        attention_mask: Tensor,
        state: Tensor,
        embodiment: Tensor,
        noise: Tensor,
        action: Tensor | None = None,
        action_mask: Tensor | None = None,
        time: Tensor | None = None,
        drops_state: Tensor | None = None,
        state_noise: Tensor | None = None,
        dropout_keys: Tensor | None = None,
        mask_total: Tensor | None = None,
        hidden: Tensor | None = None,
        delay: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"loss": ()} of a micro-batch; without `action`, {"chunk": (B, H, A)}.

        hidden: (B, S, width), the cached states of `frozen_features`, in place of images.

        The loss is this micro-batch's part of the global batch's, times the number of parts: the
        trainer averages over them, and so gets one ratio over the global batch. Arguments: see
        ModelInput, TrainingTarget and FlowDraw; mask_total: () sum of the global batch's masks.
        """
        inputs = ModelInput(images, input_ids, attention_mask, state, embodiment)
        if action is None:
            return {"chunk": self.network.generate(inputs, noise)}
        assert action_mask is not None
        assert time is not None
        assert drops_state is not None
        assert mask_total is not None
        self._keys.keys = dropout_keys
        draw = FlowDraw(noise, time, drops_state, state_noise, delay)
        target = TrainingTarget(action, action_mask)
        if hidden is None:
            losses = self.network(inputs, target, draw)
        else:
            losses = self._loss_above(hidden, inputs, target, draw)
        part = losses.errors.sum() / (mask_total.float() + MASK_SUM_FLOOR)
        return {"loss": part * self._shares}

    def _loss_above(
        self, hidden: Tensor, inputs: ModelInput, target: TrainingTarget, draw: FlowDraw
    ) -> FlowLoss:
        assert self.frozen_depth is not None
        backbone, head = self.network.backbone, self.network.action_head
        # as the layers below would give them: FSDP keeps weights in bfloat16 while they are whole
        hidden = hidden.to(backbone.model.language_model.model.embed_tokens.weight.dtype)
        features = backbone.upper(
            hidden, inputs.input_ids, inputs.attention_mask, self.frozen_depth
        )
        return head.loss(
            features, inputs.state, inputs.embodiment, target.action, target.action_mask, draw
        )

    def gradient_checkpointing_enable(self, **_: Any) -> None:
        """Recompute the layers' activations in the backward pass instead of keeping them."""
        eagle, head = self.network.backbone.model, self.network.action_head
        language = eagle.language_model.model.layers
        vision = eagle.vision_model.vision_model.encoder.layers
        for layer in (*language, *vision, *head.model.transformer_blocks):
            _recompute(layer)


def _recompute(layer: nn.Module) -> None:
    forward = layer.forward

    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # dropout does not depend on torch's random state: nothing to keep
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    layer.forward = recomputed
