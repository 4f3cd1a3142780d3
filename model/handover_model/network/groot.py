"""GR00T N1.6 as one module: the backbone and the action head.

Its state dict has the keys and shapes of the published checkpoint, without the weights that the
network never uses (listed by `unused_shapes`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from handover_model.errors import CheckpointError
from handover_model.network.action_head import ActionHead, FlowLoss
from handover_model.network.backbone import Backbone
from handover_model.network.config import ModelConfig
from handover_model.network.eagle_config import EagleConfig
from handover_model.network.flow_matching import FlowDraw

POOLING_HEAD = "backbone.model.vision_model.vision_model.head."
LM_HEAD = "backbone.model.language_model.lm_head.weight"


@dataclass(frozen=True)
class ModelInput:
    """Inputs of a batch of B samples, as the processor prepares them."""

    images: Sequence[Tensor]
    """(1, 3, H, W) float32 each, in the order of the batch; sizes may differ"""
    input_ids: Tensor
    """(B, S) int64, left-padded"""
    attention_mask: Tensor
    """(B, S) int64, 1 at real tokens"""
    state: Tensor
    """(B, state steps, max_state_dim) float32, normalized and padded"""
    embodiment: Tensor
    """(B,) int64, embodiment slots"""

    def to(self, device: torch.device, dtype: torch.dtype) -> "ModelInput":
        """Move to a device and cast floating-point tensors to the network's type."""
        return ModelInput(
            [image.to(device, dtype, non_blocking=True) for image in self.images],
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            self.state.to(device, dtype, non_blocking=True),
            self.embodiment.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class TrainingTarget:
    """The demonstrated chunks of a batch, the targets of training."""

    action: Tensor
    """(B, horizon, max_action_dim) float32, normalized and padded"""
    action_mask: Tensor
    """(B, horizon, max_action_dim) float32, 1 where `action` is real"""


class Gr00tNetwork(nn.Module):
    """The whole network; `generate` for serving, `forward` for training."""

    def __init__(self, config: ModelConfig, eagle: EagleConfig) -> None:
        super().__init__()
        self.config = config
        self.eagle = eagle
        self.backbone = Backbone(eagle, config.select_layer)
        self.action_head = ActionHead(config)

    def generate(self, inputs: ModelInput, noise: Tensor) -> Tensor:
        """Denoise chunks: (B, horizon, max_action_dim) -> the same, float32, normalized units."""
        features = self.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        return self.action_head.generate(features, inputs.state, inputs.embodiment, noise)

    def forward(self, inputs: ModelInput, target: TrainingTarget, draw: FlowDraw) -> FlowLoss:
        """Return the training loss of a batch."""
        features = self.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        return self.action_head.loss(
            features, inputs.state, inputs.embodiment, target.action, target.action_mask, draw
        )


def build_empty(config: ModelConfig, eagle: EagleConfig) -> Gr00tNetwork:
    """Build the network without memory for its weights (torch's meta device).

    Raises CheckpointError for sizes whose product no tensor can have.
    """
    try:
        with torch.device("meta"):
            return Gr00tNetwork(config, eagle)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"no network has config.json's sizes: {reason}") from error


def check_layers(
    config: ModelConfig, eagle: EagleConfig, shapes: Mapping[str, object], folder: Path
) -> None:
    """Hold the numbers of layers against a checkpoint's tensors, before any layer is made.

    All other sizes cost nothing until load_weights compares them. Raises CheckpointError.
    """
    counts = {
        "diffusion_model_cfg.num_layers": (
            config.diffusion_model_cfg.num_layers,
            "action_head.model.transformer_blocks.",
        ),
        "select_layer": (config.select_layer, "backbone.model.language_model.model.layers."),
        "vision_config.num_hidden_layers": (
            eagle.vision_config.num_hidden_layers,
            "backbone.model.vision_model.vision_model.encoder.layers.",
        ),
    }
    for name, (said, prefix) in counts.items():
        stored = {key[len(prefix) :].partition(".")[0] for key in shapes if key.startswith(prefix)}
        if said != len(stored):
            raise CheckpointError(
                f"{folder}: {name} is {said}, but the weight files have {len(stored)} such layers"
            )


def unused_shapes(eagle: EagleConfig) -> dict[str, tuple[int, ...]]:
    """Return the keys and shapes of the weights in checkpoints that no computation reads."""
    vision, text = eagle.vision_config, eagle.text_config
    width, inner = vision.hidden_size, vision.intermediate_size
    pooling = {
        "probe": (1, 1, width),
        "attention.in_proj_weight": (3 * width, width),
        "attention.in_proj_bias": (3 * width,),
        "attention.out_proj.weight": (width, width),
        "attention.out_proj.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
        "mlp.fc1.weight": (inner, width),
        "mlp.fc1.bias": (inner,),
        "mlp.fc2.weight": (width, inner),
        "mlp.fc2.bias": (width,),
    }
    shapes = {f"{POOLING_HEAD}{name}": shape for name, shape in pooling.items()}
    return {**shapes, LM_HEAD: (text.vocab_size, text.hidden_size)}
