"""Linear layers and norms as values: weights taken out of the network's modules, shared with them.

Where several layers read the same input, their weights are concatenated in one tensor, and the
modules' own weights become views of it: the network's memory does not grow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

AttentionFn = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Attention: query, key, value (B, heads, tokens, head size), mask -> (B, queries, width)"""


def mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend with PyTorch; mask: bool, true where a key counts, or None for all."""
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Norm:
    """A LayerNorm, whose scale and shift may be each token's own."""

    weight: Tensor
    """(width,), or (tokens, width)"""
    bias: Tensor
    """(width,), or (tokens, width)"""
    eps: float

    def __call__(self, tokens: Tensor) -> Tensor:
        """Normalize tokens: (..., width) -> the same shape."""
        if self.weight.ndim > 1:
            normed = functional.layer_norm(tokens, self.weight.shape[-1:], eps=self.eps)
            return normed * self.weight + self.bias
        return functional.layer_norm(tokens, self.weight.shape, self.weight, self.bias, self.eps)


class Linear(Protocol):
    """Interface of a linear layer to the engine's functions, whatever the type of its weights.

    The operations around the product are passed to it, so that one kernel may fuse them all.
    """

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """Return residual + gelu(layer(norm(tokens))), each if given: (..., in) -> (..., out)."""
        ...


@dataclass(frozen=True)
class Dense:
    """A linear layer in the network's own type."""

    weight: Tensor
    """(out, in)"""
    bias: Tensor | None
    """(out,)"""

    def __call__(
        self,
        tokens: Tensor,
        norm: Norm | None = None,
        gelu: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """See Linear."""
        read = tokens if norm is None else norm(tokens)
        return finish(functional.linear(read, self.weight, self.bias), gelu, residual)


def finish(product: Tensor, gelu: bool, residual: Tensor | None) -> Tensor:
    """Apply what follows a layer's product and bias: see Linear."""
    if gelu:
        product = functional.gelu(product, approximate="tanh")
    return product if residual is None else residual + product


def dense(layer: object) -> Dense:
    """Take an nn.Linear's weights; they stay shared with it."""
    assert isinstance(layer, nn.Linear)
    return Dense(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())


def norm(layer: nn.LayerNorm) -> Norm:
    """Take a norm's weights; they stay shared with it."""
    return Norm(layer.weight.detach(), layer.bias.detach(), layer.eps)


def fuse(modules: Sequence[object]) -> Dense:
    """Concatenate nn.Linears of one input: (sum of out, in). Their weights become views of it.

    While it runs, it temporarily needs the memory of the fused weights once more.
    """
    layers = [layer for layer in modules if isinstance(layer, nn.Linear)]
    assert len(layers) == len(modules)
    weights = torch.cat([layer.weight.detach() for layer in layers])
    biased = [layer.bias for layer in layers if layer.bias is not None]
    assert len(biased) in (0, len(layers))
    biases = torch.cat([bias.detach() for bias in biased]) if biased else None
    begin = 0
    for layer in layers:
        end = begin + layer.weight.shape[0]
        layer.weight.data = weights[begin:end]
        if biases is not None:
            layer.bias.data = biases[begin:end]
        begin = end
    return Dense(weights, biases)
