"""The truncated language model (Qwen3) on plain tensors, with fused projections."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.linear import Linear, dense, fuse
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.network.backbone import LanguageModel
from handover_model.network.qwen3 import Qwen3DecoderLayer

KeyValue = tuple[Tensor, Tensor]  # each (B, key heads, tokens, head size)


@dataclass(frozen=True)
class LanguageLayerWeights:
    """One pre-norm layer."""

    norm1: Tensor
    qkv: Linear
    head_norms: Tensor
    """(query heads + key heads, head size): the norm of each head before its rotation"""
    out: Linear
    norm2: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True)
class LanguageWeights:
    """Embeddings, the kept layers and the final norm."""

    embeddings: Tensor
    layers: tuple[LanguageLayerWeights, ...]
    final: Tensor
    eps: float
    query_heads: int
    key_heads: int


@dataclass(frozen=True)
class Rotation:
    """RoPE for the places of a layout: cosines, and sines signed by the half that they rotate."""

    cos: Tensor
    """(tokens, 1, head size)"""
    sin: Tensor
    """(tokens, 1, head size): negative in the first half"""


def take_language(model: LanguageModel) -> LanguageWeights:
    """Take the weights out of the network; fused ones stay shared with it."""
    qwen = model.model
    config = qwen.config
    heads, key_heads = config.num_attention_heads, config.num_key_value_heads
    layers = [layer for layer in qwen.layers if isinstance(layer, Qwen3DecoderLayer)]
    return LanguageWeights(
        embeddings=qwen.embed_tokens.weight.detach(),
        layers=tuple(_take_layer(layer, heads, key_heads) for layer in layers),
        final=qwen.norm.weight.detach(),
        eps=config.rms_norm_eps,
        query_heads=heads,
        key_heads=key_heads,
    )


def make_rotation(model: LanguageModel, layout: TokenLayout, dtype: torch.dtype) -> Rotation:
    """Compute RoPE's table for the computed places of a layout, in float32, then cast."""
    frequencies = model.model.rotary_emb.inv_freq
    places = torch.arange(layout.known, layout.length, device=frequencies.device)
    angles = places.float()[:, None] * frequencies.float()
    cos, sin = angles.cos(), angles.sin()
    both_cos, both_sin = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)
    return Rotation(both_cos[:, None].to(dtype), both_sin[:, None].to(dtype))


def visible_keys(layout: TokenLayout, device: torch.device) -> Tensor:
    """Return which places a place may see, apart from padding: (tokens, length) bool."""
    ones = torch.ones(layout.length, layout.length, dtype=torch.bool, device=device)
    return ones.tril()[layout.known :]


def read(
    weights: LanguageWeights,
    hidden: Tensor,
    rotation: Rotation,
    mask: Tensor | None,
    past: Sequence[KeyValue] = (),
) -> tuple[Tensor, list[KeyValue]]:
    """Run the layers and the final norm: (B, tokens, hidden) -> the same, and keys and values.

    mask: which keys a token sees, (B or 1, 1, tokens, past + tokens) bool; None for all up to
    itself, which requires no past. past: keys and values of the tokens before, per layer.
    """
    kept: list[KeyValue] = []
    groups = weights.query_heads // weights.key_heads
    if mask is not None:  # once for all layers, as attention adds it
        mask = torch.zeros_like(mask, dtype=hidden.dtype).masked_fill(~mask, float("-inf"))
    for place, layer in enumerate(weights.layers):
        normed = functional.rms_norm(hidden, layer.norm1.shape, layer.norm1, weights.eps)
        query, key, value = _project(weights, layer, normed, rotation)
        kept.append((key, value))
        if past:
            key = torch.cat([past[place][0], key], dim=2)
            value = torch.cat([past[place][1], value], dim=2)
        mixed = functional.scaled_dot_product_attention(
            query,
            _repeat_heads(key, groups),
            _repeat_heads(value, groups),
            attn_mask=mask,
            is_causal=mask is None,
        )
        hidden = layer.out(mixed.transpose(1, 2).flatten(2), residual=hidden)
        normed = functional.rms_norm(hidden, layer.norm2.shape, layer.norm2, weights.eps)
        gate, up = layer.gate_up(normed).chunk(2, dim=-1)
        hidden = layer.down(functional.silu(gate) * up, residual=hidden)
    return functional.rms_norm(hidden, weights.final.shape, weights.final, weights.eps), kept


def _project(
    weights: LanguageWeights, layer: LanguageLayerWeights, normed: Tensor, rotation: Rotation
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys (normed and rotated) and values: each (B, heads, tokens, head size)."""
    rotated, size = weights.query_heads + weights.key_heads, layer.head_norms.shape[1]
    qkv = layer.qkv(normed).unflatten(-1, (rotated + weights.key_heads, size))
    both, value = qkv[..., :rotated, :], qkv[..., rotated:, :]
    both = functional.rms_norm(both, (size,), None, weights.eps) * layer.head_norms
    turned = both * rotation.cos + both.roll(size // 2, dims=-1) * rotation.sin
    query, key = turned.transpose(1, 2).split([weights.query_heads, weights.key_heads], dim=1)
    return query, key, value.transpose(1, 2)


def _repeat_heads(heads: Tensor, groups: int) -> Tensor:
    """Repeat each key head for its group of query heads: (B, heads, ...) -> (B, all heads, ...).

    Attention with fewer key heads and a mask has no fast kernel on a GPU, and on a CPU it gains
    nothing.
    """
    if groups == 1:
        return heads
    return heads[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)


def _take_layer(layer: Qwen3DecoderLayer, heads: int, key_heads: int) -> LanguageLayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    query_norm, key_norm = attention.q_norm.weight.detach(), attention.k_norm.weight.detach()
    return LanguageLayerWeights(
        norm1=layer.input_layernorm.weight.detach(),
        qkv=fuse([attention.q_proj, attention.k_proj, attention.v_proj]),
        head_norms=torch.cat([query_norm.expand(heads, -1), key_norm.expand(key_heads, -1)]),
        out=dense(attention.o_proj),
        norm2=layer.post_attention_layernorm.weight.detach(),
        gate_up=fuse([mlp.gate_proj, mlp.up_proj]),
        down=dense(mlp.down_proj),
    )
