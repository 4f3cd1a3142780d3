"""Diffusion transformer (DiT) from noisy action tokens to velocities.

Blocks alternate: even ones attend to the backbone's features, odd ones to the action tokens. In the
alternating variant every second of the even blocks reads only text, the others only images. Module
names are the keys of the published weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from handover_model.network.backbone import BackboneOutput
from handover_model.network.config import DitConfig
from handover_model.network.timestep_embedding import dit_sinusoid

TIME_WIDTH = 256  # numbers of the timestep's sinusoid
BLOCK_NORM_EPS = 1e-5
OUTPUT_NORM_EPS = 1e-6


@dataclass(frozen=True)
class Memory:
    """Input of a cross-attention block: features projected for it, and which of them count."""

    key: Tensor
    """(B, heads, S, head size)"""
    value: Tensor
    """(B, heads, S, head size)"""
    mask: Tensor | None
    """(B, 1, 1, S) bool, or None when every position counts"""


@dataclass(frozen=True)
class TokenTimes:
    """Embedded timesteps of a batch's tokens: one for all, or another one for those of a prefix."""

    embedded: Tensor
    """(B, 1 or 2, width): the flow's, then that of clean actions"""
    clean: Tensor | None
    """(B, T, 1) bool, true at a prefix's tokens; None where there is no second timestep"""

    def spread(self, values: Tensor) -> Tensor:
        """Give each token its timestep's values: (B, 1 or 2, N) -> (B, 1 or T, N)."""
        if self.clean is None:
            return values
        return torch.where(self.clean, values[:, 1:], values[:, :1])


class TimestepEmbedder(nn.Module):
    """The two linear layers after the sinusoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_WIDTH, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, bucket: Tensor) -> Tensor:
        """Embed timesteps: (...) int64 -> (..., width)."""
        waves = dit_sinusoid(bucket, TIME_WIDTH).to(self.linear_1.weight.dtype)
        return self.linear_2(functional.silu(self.linear_1(waves)))


class TimestepEncoder(nn.Module):
    """Wrapper of the embedder that gives the names of the published weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(width)

    def forward(self, bucket: Tensor) -> Tensor:
        """See TimestepEmbedder.forward."""
        return self.timestep_embedder(bucket)


class TimedNorm(nn.Module):
    """LayerNorm without its own weights, scaled and shifted by the timestep (AdaNorm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, eps=BLOCK_NORM_EPS, elementwise_affine=False)

    def forward(self, tokens: Tensor, times: TokenTimes) -> Tensor:
        """Normalize tokens: (B, T, width) -> the same shape."""
        scale, shift = times.spread(self.linear(functional.silu(times.embedded))).chunk(2, dim=-1)
        return self.norm(tokens) * (1 + scale) + shift


class Attention(nn.Module):
    """Multi-head attention of the action tokens, to themselves or to a memory."""

    def __init__(self, config: DitConfig, memory_width: int) -> None:
        super().__init__()
        width = config.width
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(memory_width, width)
        self.to_v = nn.Linear(memory_width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Dropout(config.dropout)])

    def remember(self, features: Tensor, mask: Tensor | None) -> Memory:
        """Project features to keys and values: (B, S, memory width), (B, S) bool."""
        key, value = self._split(self.to_k(features)), self._split(self.to_v(features))
        return Memory(key, value, None if mask is None else mask[:, None, None, :])

    def forward(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Attend: (B, T, width) -> the same shape. A sample whose memory has no key gets zeros."""
        query, mask = self._split(self.to_q(tokens)), memory.mask
        if mask is None:
            mixed = functional.scaled_dot_product_attention(query, memory.key, memory.value)
        else:
            # attention without any key is undefined in some kernels: let such a row see all, then
            # drop what it saw
            any_key = mask.any(dim=-1, keepdim=True)
            mixed = functional.scaled_dot_product_attention(
                query, memory.key, memory.value, attn_mask=mask | ~any_key
            )
            mixed = mixed * any_key
        mixed = mixed.transpose(1, 2).flatten(2)
        for layer in self.to_out:
            mixed = layer(mixed)
        return mixed

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GeluProjection(nn.Module):
    """A linear layer and the tanh form of GELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width_in, width_out)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens: (B, T, in) -> (B, T, out)."""
        return functional.gelu(self.proj(tokens), approximate="tanh")


class FeedForward(nn.Module):
    """The feed-forward half of a block, four times as wide inside."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        width = config.width
        layers = [
            GeluProjection(width, 4 * width),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width, width),
        ]
        if config.final_dropout:
            layers.append(nn.Dropout(config.dropout))
        self.net = nn.ModuleList(layers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token by itself; the shape stays."""
        for layer in self.net:
            tokens = layer(tokens)
        return tokens


class Block(nn.Module):
    """Timed norm, attention, plain norm, feed-forward; both halves added to their input."""

    def __init__(self, config: DitConfig, memory_width: int | None) -> None:
        super().__init__()
        self.crosses = memory_width is not None
        self.norm1 = TimedNorm(config.width)
        self.attn1 = Attention(config, memory_width or config.width)
        self.norm3 = nn.LayerNorm(config.width, eps=BLOCK_NORM_EPS, elementwise_affine=False)
        self.ff = FeedForward(config)
        self.final_dropout = nn.Dropout(config.dropout) if config.final_dropout else nn.Identity()

    def remember(self, features: Tensor, mask: Tensor | None) -> Memory:
        """See Attention.remember."""
        return self.attn1.remember(features, mask)

    def forward(self, tokens: Tensor, times: TokenTimes, memory: Memory | None) -> Tensor:
        """Attend and transform: (B, T, width); without a memory tokens attend to themselves."""
        normed = self.norm1(tokens, times)
        mixed = self.attn1(normed, memory or self.attn1.remember(normed, None))
        tokens = tokens + self.final_dropout(mixed)
        return tokens + self.ff(self.norm3(tokens))


class Dit(nn.Module):
    """All blocks and the output projection."""

    def __init__(self, config: DitConfig, memory_width: int, text_period: int | None) -> None:
        """Build the transformer.

        text_period: every how many cross-attention blocks one reads the text, the others reading
        images; None for the variant whose blocks read everything, padding included.
        """
        super().__init__()
        self.text_period = text_period
        self.timestep_encoder = TimestepEncoder(config.width)
        crosses = [
            number % 2 == 0 or not config.interleave_self_attention
            for number in range(config.num_layers)
        ]
        self.transformer_blocks = nn.ModuleList(
            Block(config, memory_width if cross else None) for cross in crosses
        )
        self.norm_out = nn.LayerNorm(config.width, eps=OUTPUT_NORM_EPS, elementwise_affine=False)
        self.proj_out_1 = nn.Linear(config.width, 2 * config.width)
        self.proj_out_2 = nn.Linear(config.width, config.output_dim)

    def remember(self, features: Tensor, backbone: BackboneOutput) -> list[Memory | None]:
        """Project the backbone's features for each block, once for all denoising steps.

        features: (B, S, memory width), after the action head's norm. None for self-attention.
        """
        text = ~backbone.image_mask & backbone.attention_mask
        image = backbone.image_mask & backbone.attention_mask
        memories: list[Memory | None] = []
        for number, block in enumerate(self.transformer_blocks):
            assert isinstance(block, Block)
            if not block.crosses:
                memories.append(None)
            elif self.text_period is None:
                memories.append(block.remember(features, None))
            else:
                reads_text = number % (2 * self.text_period) == 0
                memories.append(block.remember(features, text if reads_text else image))
        return memories

    def forward(
        self,
        tokens: Tensor,
        buckets: Tensor,
        memories: list[Memory | None],
        clean: Tensor | None = None,
    ) -> Tensor:
        """Denoise: (B, T, width) -> (B, T, output width).

        buckets: (B, 1) int64 timesteps; (B, 2) with `clean`, (B, T) bool, whose tokens have the
        second one.
        """
        times = TokenTimes(
            self.timestep_encoder(buckets), None if clean is None else clean[..., None]
        )
        for block, memory in zip(self.transformer_blocks, memories, strict=True):
            tokens = block(tokens, times, memory)
        shifts = times.spread(self.proj_out_1(functional.silu(times.embedded)))
        shift, scale = shifts.chunk(2, dim=-1)
        tokens = self.norm_out(tokens) * (1 + scale) + shift
        return self.proj_out_2(tokens)
