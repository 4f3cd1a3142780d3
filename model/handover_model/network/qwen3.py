"""Qwen3's decoder, cut after some layers: a pre-norm transformer with normed, rotated heads.

As described in the Qwen3 technical report (arXiv:2505.09388); parameters have the names of the
published weights. It is written out here because importing transformers' own takes longer than all
of the rest of a server's start; a test holds both to the same numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from handover_model.network.eagle_config import TextConfig

_INITIAL_STD = 0.02  # of random weights

Rotation = tuple[Tensor, Tensor]  # cosines and sines, each (tokens, head size)


class Qwen3Model(nn.Module):
    """Embeddings, the kept layers and the final norm, in the order in which they are applied."""

    def __init__(self, config: TextConfig, layers: int) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Qwen3DecoderLayer(config) for _ in range(layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = RotaryEmbedding(config.head_dim, config.rope_theta)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=_INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


class Qwen3DecoderLayer(nn.Module):
    """Attention, then the gated MLP, each on normed inputs and added to them."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMlp(config.hidden_size, config.intermediate_size)
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: Rotation, mask: Tensor) -> Tensor:
        """(B, S, hidden) -> the same; mask: (B, 1, S, S) bool, the keys that a place sees."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, mask)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Attention(nn.Module):
    """Attention whose groups of query heads share a key head; heads are normed, then rotated."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.size = size = config.head_dim
        self.groups = config.num_attention_heads // config.num_key_value_heads
        width, has_bias = config.hidden_size, config.attention_bias
        queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
        self.q_proj = nn.Linear(width, queries, has_bias)
        self.k_proj = nn.Linear(width, keys, has_bias)
        self.v_proj = nn.Linear(width, keys, has_bias)
        self.o_proj = nn.Linear(queries, width, has_bias)
        self.q_norm = RmsNorm(size, config.rms_norm_eps)
        self.k_norm = RmsNorm(size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: Rotation, mask: Tensor) -> Tensor:
        """(B, S, hidden) -> (B, S, hidden)."""
        heads = (-1, self.size)
        query = self.q_norm(self.q_proj(hidden).unflatten(-1, heads)).transpose(1, 2)
        key = self.k_norm(self.k_proj(hidden).unflatten(-1, heads)).transpose(1, 2)
        value = self.v_proj(hidden).unflatten(-1, heads).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, rotation),
            rotate(key, rotation).repeat_interleave(self.groups, dim=1),
            value.repeat_interleave(self.groups, dim=1),
            attn_mask=mask,
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class GatedMlp(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class RmsNorm(nn.Module):
    """Root-mean-square norm, computed in float32 and rounded before it is scaled."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        exact = hidden.float()
        scale = torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (exact * scale).to(hidden.dtype)


class RotaryEmbedding(nn.Module):
    """RoPE's angles for places counted from 0; its frequencies are float32 in every network."""

    inv_freq: Tensor

    def __init__(self, size: int, theta: float) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.empty(size // 2), persistent=False)
        if not self.inv_freq.is_meta:  # arithmetic there imports torch's compiler
            exponents = torch.arange(0, size, 2, dtype=torch.int64).float() / size
            self.inv_freq.copy_(1.0 / theta**exponents)

    def forward(self, embeddings: Tensor) -> Rotation:
        """Return cosines and sines for the places of (B, S, hidden), in its dtype."""
        places = torch.arange(embeddings.shape[1], device=embeddings.device).float()
        angles = (places[:, None] * self.inv_freq.float()).repeat(1, 2)
        return angles.cos().to(embeddings.dtype), angles.sin().to(embeddings.dtype)


def rotate(heads: Tensor, rotation: Rotation) -> Tensor:
    """Turn pairs of a head's halves by a place's angles: (B, heads, S, size) -> the same."""
    first, second = heads.chunk(2, dim=-1)
    return heads * rotation[0] + torch.cat([-second, first], dim=-1) * rotation[1]
