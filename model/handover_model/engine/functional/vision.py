"""Vision tower and its projector on plain tensors.

Patches are cut in the order in which four of them fold into an image token (attention does not
depend on the order), so that folding costs nothing; the projector's weights are reordered to match.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.linear import (
    AttentionFn,
    Dense,
    Linear,
    Norm,
    dense,
    fuse,
    mix,
    norm,
)
from handover_model.network.backbone import Eagle
from handover_model.network.siglip import PatchEmbeddings, VisionLayer

FOLD = 2  # patches of an image token, down and right


@dataclass(frozen=True)
class VisionLayerWeights:
    """One pre-norm layer."""

    norm1: Norm
    qkv: Linear
    out: Linear
    norm2: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True)
class VisionWeights:
    """The tower and the projector."""

    patch: Linear
    layers: tuple[VisionLayerWeights, ...]
    final: Norm
    fold_norm: Norm
    fold_in: Linear
    fold_out: Linear
    heads: int
    patch_size: int
    mix: AttentionFn = mix


def take_vision(eagle: Eagle) -> VisionWeights:
    """Take the weights out of the network; only the projector's input layer is copied."""
    tower = eagle.vision_model.vision_model
    first, project_in, _, project_out = eagle.mlp1
    assert isinstance(first, torch.nn.LayerNorm)
    assert isinstance(project_in, torch.nn.Linear)
    order = _fold_order(tower.post_layernorm.normalized_shape[0], first.weight.device)
    bias = project_in.bias.detach()
    layers = [layer for layer in tower.encoder.layers if isinstance(layer, VisionLayer)]
    return VisionWeights(
        patch=dense(tower.embeddings.patch_embedding),
        layers=tuple(_take_layer(layer) for layer in layers),
        final=norm(tower.post_layernorm),
        fold_norm=Norm(first.weight.detach()[order], first.bias.detach()[order], first.eps),
        fold_in=Dense(project_in.weight.detach()[:, order].contiguous(), bias),
        fold_out=dense(project_out),
        heads=layers[0].self_attn.heads,
        patch_size=tower.embeddings.patch_size,
    )


def patch_rows(frames: Tensor, size: int) -> Tensor:
    """Cut frames into patches, in the order that folds: (N, H, W, 3) uint8 -> (N, P, size²·3).

    Patches follow each other by image token (raster order), then down and right within it; the
    numbers of one are ordered (y, x, channel).
    """
    count, height, width, channels = frames.shape
    side = FOLD * size
    blocks = frames.reshape(count, height // side, FOLD, size, width // side, FOLD, size, channels)
    rows = blocks.permute(0, 1, 4, 2, 5, 3, 6, 7)
    return rows.reshape(count, -1, size * size * channels)


def fold_positions(embeddings: PatchEmbeddings, down: int, right: int) -> Tensor:
    """Resize the position table to a grid of image tokens, in patch_rows' order: (P, hidden)."""
    table = embeddings.positions(FOLD * down, FOLD * right).detach()
    blocks = table.reshape(down, FOLD, right, FOLD, -1).permute(0, 2, 1, 3, 4)
    return blocks.reshape(table.shape).contiguous()


def look(weights: VisionWeights, frames: Tensor, positions: Tensor) -> Tensor:
    """Encode frames of one size as image tokens: (N, H, W, 3) uint8 -> (N, tokens, hidden)."""
    rows = patch_rows(frames, weights.patch_size)
    count, patches = rows.shape[:2]
    # 0 … 255 to -1 … 1, in float32 before the type of the network
    pixels = torch.add(-1.0, rows.flatten(0, 1).float(), alpha=2 / 255).to(positions.dtype)
    hidden = (weights.patch(pixels).view(count, patches, -1) + positions).flatten(0, 1)
    for layer in weights.layers:
        hidden = _attend(weights, layer, hidden, count)
        inner = layer.up(hidden, layer.norm2, gelu=True)
        hidden = layer.down(inner, residual=hidden)
    folded = weights.final(hidden).view(count, patches // FOLD**2, -1)
    return weights.fold_out(functional.gelu(weights.fold_in(weights.fold_norm(folded))))


def _attend(
    weights: VisionWeights, layer: VisionLayerWeights, hidden: Tensor, count: int
) -> Tensor:
    """Apply self-attention among patches, with the residual: (N x P, hidden) -> the same shape."""
    qkv = layer.qkv(hidden, layer.norm1).view(count, hidden.shape[0] // count, 3, weights.heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return layer.out(weights.mix(query, key, value, None).flatten(0, 1), residual=hidden)


def _take_layer(layer: VisionLayer) -> VisionLayerWeights:
    attention = layer.self_attn
    return VisionLayerWeights(
        norm1=norm(layer.layer_norm1),
        qkv=fuse([attention.q_proj, attention.k_proj, attention.v_proj]),
        out=dense(attention.out_proj),
        norm2=norm(layer.layer_norm2),
        up=dense(layer.mlp.fc1),
        down=dense(layer.mlp.fc2),
    )


def _fold_order(width: int, device: torch.device) -> Tensor:
    """Order of a folded token's numbers: ours (dy, dx, c) from the weights' (c, dy, dx)."""
    channel_major = torch.arange(width * FOLD**2, device=device).view(width, FOLD, FOLD)
    return channel_major.permute(1, 2, 0).reshape(-1)
