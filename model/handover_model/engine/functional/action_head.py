"""Action head on plain tensors, for one embodiment and the fixed denoising steps.

Whatever depends only on the step is a table made at load: the timestep's scales and shifts are the
weights of each norm, and its part of the action encoder is a bias. Whatever depends only on the
observation (state tokens, keys and values of the features) is computed once, before the steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.linear import AttentionFn, Linear, Norm, mix
from handover_model.network.dit import Memory
from handover_model.network.real_time_chunking import Velocity

SELF, TEXT, IMAGE = "self", "text", "image"  # what a block attends to


@dataclass(frozen=True)
class BlockWeights:
    """One block of the transformer. Its first norm is the step's: see StepWeights."""

    reads: str
    """SELF, TEXT or IMAGE"""
    project: Linear
    """Queries, keys and values for SELF; queries alone for the others"""
    out: Linear
    norm2: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True)
class StepWeights:
    """Weights of one timestep, in addition to the shared ones; see `select`."""

    encoder_bias: Tensor
    """(width,): the timestep's part of the action encoder, and its first layers' biases"""
    norms: tuple[Norm, ...]
    """Each block's first norm, scaled and shifted by the timestep"""
    output_norm: Norm

    def select(self, clean: "StepWeights", is_clean: Tensor, others: int) -> "StepWeights":
        """Give each token the weights of its own timestep: these, or those of clean actions.

        is_clean: (B, horizon) bool; others: tokens before a chunk's, which are not clean.
        """
        actions = is_clean.flatten()[:, None]
        tokens = functional.pad(is_clean, (others, 0)).flatten()[:, None]

        def choose(mine: Sequence[Norm], theirs: Sequence[Norm], which: Tensor) -> tuple[Norm, ...]:
            rows = torch.where(which, _row(theirs), _row(mine)).split(mine[0].weight.shape[0], 1)
            pairs = zip(rows[::2], rows[1::2], mine, strict=True)
            return tuple(Norm(weight, bias, norm.eps) for weight, bias, norm in pairs)

        return StepWeights(
            torch.where(actions, clean.encoder_bias, self.encoder_bias),
            choose(self.norms, clean.norms, tokens),
            choose([self.output_norm], [clean.output_norm], actions)[0],
        )


def _row(norms: Sequence[Norm]) -> Tensor:
    """Lay norms' scales and shifts beside each other: one choice for all costs less than many."""
    return torch.cat([values for norm in norms for values in (norm.weight, norm.bias)])


@dataclass(frozen=True)
class Mlp:
    """Two linear layers of one embodiment with a ReLU between; (in, out) as in the checkpoint."""

    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    bias2: Tensor

    def __call__(self, tokens: Tensor) -> Tensor:
        """Transform tokens: (N, in) -> (N, out)."""
        hidden = torch.addmm(self.bias1, tokens, self.weight1)
        return torch.addmm(self.bias2, hidden.relu_(), self.weight2)


@dataclass(frozen=True)
class HeadWeights:
    """The action head of one embodiment."""

    features: Norm | None
    text_memory: Linear | None
    """Keys and values of all text blocks: (hidden) -> (text blocks x 2 x width)"""
    image_memory: Linear | None
    """The same of all image blocks"""
    state: Mlp
    encode_in: Tensor
    """(action dim, width): the encoder's first two linear layers in one"""
    encode_out: Tensor
    """(width, width)"""
    positions: Tensor
    """(horizon, width): position embeddings and the encoder's last bias"""
    blocks: tuple[BlockWeights, ...]
    steps: tuple[StepWeights, ...]
    clean: StepWeights
    """Those of actions that are given without noise"""
    decode: Mlp
    """From the transformer's normed output; its projection is folded into the first layer"""
    heads: int
    mix: AttentionFn = mix

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the head computes."""
        return self.encode_in.dtype


def split_memory(weights: HeadWeights, projected: Tensor, mask: Tensor | None) -> list[Memory]:
    """Split text_memory's or image_memory's output by block: (B, tokens, blocks x 2 x width)."""
    width = weights.encode_in.shape[1]
    parts = projected.view(*projected.shape[:2], -1, 2, weights.heads, width // weights.heads)
    keys, values = parts.permute(3, 2, 0, 4, 1, 5).unbind(0)
    return [
        Memory(key, value, mask)
        for key, value in zip(keys.unbind(0), values.unbind(0), strict=True)
    ]


def order_memories(
    weights: HeadWeights, text: list[Memory], image: list[Memory]
) -> list[Memory | None]:
    """Return each block's memory; None for those that attend to themselves."""
    kinds = {TEXT: iter(text), IMAGE: iter(image)}
    return [None if block.reads == SELF else next(kinds[block.reads]) for block in weights.blocks]


def encode_state(weights: HeadWeights, state: Tensor) -> Tensor:
    """Encode states as tokens: (B, T, max_state_dim) -> (B, T, width)."""
    return weights.state(state.flatten(0, 1)).view(*state.shape[:2], -1)


def velocity_of(
    weights: HeadWeights,
    state_tokens: Tensor,
    memories: list[Memory | None],
    is_clean: Tensor | None = None,
) -> Velocity:
    """Return the velocity as a differentiable function of noisy actions and step.

    is_clean: (B, horizon) bool, steps whose actions have no noise.
    """

    def velocity(actions: Tensor, step: int) -> Tensor:
        own = weights.steps[step]
        if is_clean is not None:
            own = own.select(weights.clean, is_clean, state_tokens.shape[1])
        return predict_velocity(weights, actions, own, state_tokens, memories)

    return velocity


def predict_velocity(
    weights: HeadWeights,
    actions: Tensor,
    own: StepWeights,
    state_tokens: Tensor,
    memories: list[Memory | None],
) -> Tensor:
    """Predict the velocity of noisy actions: (B, H, A) float32 -> (B, H, A) float32."""
    batch, horizon, _ = actions.shape
    inner = torch.addmm(
        own.encoder_bias, actions.flatten(0, 1).to(weights.dtype), weights.encode_in
    )
    tokens = torch.mm(functional.silu(inner), weights.encode_out).view(batch, horizon, -1)
    joined = torch.cat([state_tokens, tokens + weights.positions], dim=1)
    length = joined.shape[1]
    hidden = joined.flatten(0, 1)
    for block, norm, memory in zip(weights.blocks, own.norms, memories, strict=True):
        mixed = attend(weights, block.project(hidden, norm), memory, batch)
        hidden = block.out(mixed, residual=hidden)
        inner = block.up(hidden, block.norm2, gelu=True)
        hidden = block.down(inner, residual=hidden)
    last = hidden.view(batch, length, -1)[:, length - horizon :].reshape(batch * horizon, -1)
    return weights.decode(own.output_norm(last)).view(batch, horizon, -1).float()


def attend(weights: HeadWeights, projected: Tensor, memory: Memory | None, batch: int) -> Tensor:
    """Attend: (B x T, width or 3 x width) -> (B x T, width), one row per token."""
    rows, heads = projected.shape[0], weights.heads
    if memory is None:
        parts = projected.view(batch, rows // batch, 3, heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mask = None
    else:
        query = projected.view(batch, rows // batch, heads, -1).transpose(1, 2)
        key, value, mask = memory.key, memory.value, memory.mask
    return weights.mix(query, key, value, mask).flatten(0, 1)
