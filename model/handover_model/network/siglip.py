"""SigLIP2-style vision tower: from pixels to one feature vector per patch.

Attention is full within an image and never crosses images, so each image is one call, and images
of one size are batched. Module names are the keys of the published weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from handover_model.network.eagle_config import VisionConfig

MAX_KEPT_GRIDS = 16  # resized position tables; cameras have few sizes


def cut_patches(pixels: Tensor, size: int) -> Tensor:
    """Cut images into rows of pixels: (N, C, H, W) -> (N, H/size * W/size, size * size * C).

    Patches come in raster order; within one, the order is (y, x, channel), channel fastest.
    """
    count, channels, height, width = pixels.shape
    blocks = pixels.reshape(count, channels, height // size, size, width // size, size)
    rows = blocks.permute(0, 2, 4, 3, 5, 1)
    return rows.reshape(count, -1, size * size * channels)


class PatchEmbeddings(nn.Module):
    """Linear embedding of patches plus learned positions, resized to the image's patch grid."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.grid = config.position_grid
        row = config.patch_size**2 * config.num_channels
        self.patch_embedding = nn.Linear(row, config.hidden_size)
        self.position_embedding = nn.Embedding(config.num_patches, config.hidden_size)

    def positions(self, height: int, width: int) -> Tensor:
        """Resize the position table to a grid of patches: (height * width, hidden)."""
        table = self.position_embedding.weight
        if (height, width) == (self.grid, self.grid):
            return table
        square = table.float().reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        resized = functional.interpolate(
            square, (height, width), mode="bilinear", align_corners=False, antialias=True
        )
        return resized.flatten(2)[0].T.to(table.dtype)

    def forward(self, pixels: Tensor, positions: Tensor) -> Tensor:
        """Embed images of one size: (N, C, H, W), (patches, hidden) -> (N, patches, hidden)."""
        rows = cut_patches(pixels, self.patch_size)
        return self.patch_embedding(rows.to(self.patch_embedding.weight.dtype)) + positions


class VisionAttention(nn.Module):
    """Full self-attention among the patches of one image."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Attend: (N, patches, hidden) -> the same shape."""
        query, key, value = (
            projection(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class VisionMlp(nn.Module):
    """The feed-forward half of a layer, with the tanh form of GELU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Transform each patch by itself; the shape stays."""
        return self.fc2(functional.gelu(self.fc1(hidden), approximate="tanh"))


class VisionLayer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VisionMlp(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Add attention, then the feed-forward half; the shape stays."""
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        return hidden + self.mlp(self.layer_norm2(hidden))


class VisionEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden: Tensor) -> Tensor:
        """Run all layers; the shape stays."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class VisionTransformer(nn.Module):
    """Embeddings, layers and the final norm. The pooling head of the weights is not used."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(config)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        # while weights are fixed: positions resized once per (patch grid, device, dtype)
        self._resized: dict[tuple[object, ...], Tensor] = {}

    def forward(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Encode images of any sizes: N of (1, C, H, W) -> N of (H/14, W/14, hidden)."""
        by_size: dict[torch.Size, list[int]] = {}
        for place, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(place)
        features: dict[int, Tensor] = {}
        for places in by_size.values():
            batch = self._look(torch.cat([images[place] for place in places]))
            features.update(zip(places, batch, strict=True))
        return [features[place] for place in range(len(images))]

    def _look(self, pixels: Tensor) -> Tensor:
        """Run the tower on images of one size: (N, C, H, W) -> (N, H/14, W/14, hidden)."""
        size = self.embeddings.patch_size
        height, width = pixels.shape[-2] // size, pixels.shape[-1] // size
        hidden = self.embeddings(pixels, self.positions(height, width))
        hidden = self.post_layernorm(self.encoder(hidden))
        return hidden.unflatten(1, (height, width))

    def positions(self, height: int, width: int) -> Tensor:
        """Return the position table for a grid of patches, cached while the weights are fixed."""
        table = self.embeddings.position_embedding.weight
        if table.requires_grad:  # FSDP gathers it in the same place, uncounted
            return self.embeddings.positions(height, width)
        # the version counts in-place changes, such as an optimizer's
        key = (height, width, table.data_ptr(), table.dtype, table.device, _version(table))
        if key not in self._resized:
            if len(self._resized) >= MAX_KEPT_GRIDS:
                self._resized.clear()
            self._resized[key] = self.embeddings.positions(height, width)
        return self._resized[key]


class VisionModel(nn.Module):
    """Wrapper of the tower that gives the names of the published weights."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config)

    def forward(self, images: Sequence[Tensor]) -> list[Tensor]:
        """See VisionTransformer.forward."""
        return self.vision_model(images)


def _version(table: Tensor) -> int:
    return -1 if table.is_inference() else table._version
