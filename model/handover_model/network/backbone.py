"""Backbone: from images and instruction to the features that the action head reads.

Vision features are folded two by two, projected to the language model's width, and put in place of
the image tokens. The language model is Qwen3 cut after `select_layer` layers, with its final norm.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model, Qwen3RotaryEmbedding

from handover_model.errors import ModalityError
from handover_model.network.eagle_config import EagleConfig
from handover_model.network.siglip import VisionModel


@dataclass(frozen=True)
class BackboneOutput:
    """Features of every token of the padded row; undefined at padding positions."""

    features: Tensor
    """(B, S, hidden), the language model's last state after its final norm."""
    attention_mask: Tensor
    """(B, S) bool: false at padding positions."""
    image_mask: Tensor
    """(B, S) bool: true at image tokens."""
    patches: tuple[Tensor, ...] | None = None
    """Each image's (h, w, C), as the vision tower gives them; None unless asked for."""


def fold_patches(features: Tensor, side: int = 2) -> Tensor:
    """Fold blocks of patches into tokens: (h, w, C) -> (h/side * w/side, C * side * side).

    A token's numbers are ordered channel-major: c * side**2 + dy * side + dx; tokens in raster
    order. Raises ModalityError when a side of the patch grid is not a multiple of `side`.
    """
    height, width, _ = features.shape
    if height % side or width % side:
        raise ModalityError(
            f"an image has {height}x{width} patches, expected multiples of {side}; "
            "resize images with the processor"
        )
    folded = functional.pixel_unshuffle(features.permute(2, 0, 1), side)
    return folded.flatten(1).T


def qwen_config(eagle: EagleConfig, layers: int) -> Qwen3Config:
    """Describe the truncated language model to transformers."""
    text = eagle.text_config
    config = Qwen3Config(
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=text.num_attention_heads,
        num_key_value_heads=text.num_key_value_heads,
        head_dim=text.head_dim,
        rms_norm_eps=text.rms_norm_eps,
        max_position_embeddings=text.max_position_embeddings,
        attention_bias=text.attention_bias,
        rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
        use_cache=False,
    )
    config._attn_implementation = "sdpa"
    return config


def causal_mask(attention_mask: Tensor) -> Tensor:
    """Return the real positions up to each position: (B, S) bool -> (B, 1, S, S) bool.

    A padding position also sees itself: a row without any key is undefined in some kernels.
    """
    length = attention_mask.shape[1]
    ones = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device)
    visible = ones.tril() & attention_mask[:, None, :]
    return (visible | torch.eye(length, dtype=torch.bool, device=ones.device))[:, None]


class LanguageModel(nn.Module):
    """Wrapper of Qwen3 that gives the names of the published weights. lm_head is not used."""

    def __init__(self, eagle: EagleConfig, layers: int) -> None:
        super().__init__()
        self.model = Qwen3Model(qwen_config(eagle, layers))

    def embed(self, input_ids: Tensor) -> Tensor:
        """Look up token embeddings: (B, S) int64 -> (B, S, hidden)."""
        return self.model.embed_tokens(input_ids)

    def forward(self, hidden: Tensor, attention_mask: Tensor, layers: slice) -> Tensor:
        """Run some of the kept layers: (B, S, hidden), (B, S) bool -> (B, S, hidden).

        Positions are counted over the padded row.
        """
        positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
        rotations = self.model.rotary_emb(hidden, positions)
        mask = causal_mask(attention_mask)
        for layer in self.model.layers[layers]:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_embeddings=rotations,
                position_ids=positions,
                use_cache=False,
            )
        return hidden

    def make_frequencies(self, device: torch.device) -> None:
        """Compute RoPE's inverse frequencies in float32; they are not among the weights."""
        with device:
            self.model.rotary_emb = Qwen3RotaryEmbedding(self.model.config)  # pyright: ignore[reportArgumentType]


class Eagle(nn.Module):
    """Vision tower, projector and language model."""

    def __init__(self, eagle: EagleConfig, layers: int) -> None:
        super().__init__()
        vision, text = eagle.vision_config, eagle.text_config
        folded = vision.hidden_size * eagle.fold**2
        self.vision_model = VisionModel(vision)
        self.language_model = LanguageModel(eagle, layers)
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(folded),
            nn.Linear(folded, text.hidden_size),
            nn.GELU(),
            nn.Linear(text.hidden_size, text.hidden_size),
        )
        self.fold = eagle.fold

    def image_tokens(self, patches: Sequence[Tensor]) -> Tensor:
        """Project the vision tower's patches to tokens of the language model.

        N images' (h, w, C) -> (tokens, hidden). Tokens are in the order of the images.
        """
        return self.mlp1(torch.cat([fold_patches(image, self.fold) for image in patches]))


class Backbone(nn.Module):
    """Features for the action head from the processor's output."""

    def __init__(self, eagle: EagleConfig, layers: int) -> None:
        super().__init__()
        self.model = Eagle(eagle, layers)
        self.image_token = eagle.image_token_index
        self.pixels_per_token = eagle.pixels_per_token

    def forward(
        self,
        images: Sequence[Tensor],
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        keeps_patches: bool = False,
    ) -> BackboneOutput:
        """Encode images and instructions.

        images: of any sizes, (1, 3, H, W), in the order of the batch (sample 0's first);
        input_ids (B, S) int64, left-padded; attention_mask (B, S), 1 at real tokens.
        Raises ModalityError when image tokens and placeholders differ in number.
        """
        embeddings, patches = self._embed(images, input_ids)
        output = self.upper(embeddings, input_ids, attention_mask, depth=0)
        return dataclasses.replace(output, patches=patches if keeps_patches else None)

    def lower(
        self, images: Sequence[Tensor], input_ids: Tensor, attention_mask: Tensor, depth: int
    ) -> Tensor:
        """Encode images and run the first `depth` language layers: (B, S, hidden).

        See `forward`; undefined at padding positions. A row's values do not depend on its padding.
        """
        embeddings, _ = self._embed(images, input_ids)
        return self.model.language_model(embeddings, attention_mask == 1, slice(depth))

    def upper(
        self, hidden: Tensor, input_ids: Tensor, attention_mask: Tensor, depth: int
    ) -> BackboneOutput:
        """Finish what `lower` began: the language layers from `depth` on, and the final norm."""
        real, language = attention_mask == 1, self.model.language_model
        features = language.model.norm(language(hidden, real, slice(depth, None)))
        return BackboneOutput(features, real, input_ids == self.image_token)

    def _embed(
        self, images: Sequence[Tensor], input_ids: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embed the text and put the images' tokens into it; also returns the images' patches."""
        image_mask = input_ids == self.image_token
        self._check_counts(images, image_mask)
        embeddings = self.model.language_model.embed(input_ids)
        patches = tuple(self.model.vision_model(images)) if images else ()
        if patches:
            tokens = self.model.image_tokens(patches).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(image_mask[..., None], tokens)
        return embeddings, patches

    def _check_counts(self, images: Sequence[Tensor], image_mask: Tensor) -> None:
        """Check the numbers of tokens; otherwise samples could read each other's images."""
        side = self.pixels_per_token
        for image in images:
            height, width = image.shape[-2:]
            if height % side or width % side:
                raise ModalityError(
                    f"an image is {height}x{width}, expected multiples of {side} pixels; "
                    "resize images with the processor"
                )
        tokens = sum(image.shape[-2] * image.shape[-1] // side**2 for image in images)
        placeholders = int(image_mask.sum())
        if placeholders != tokens:
            raise ModalityError(
                f"the text has {placeholders} image placeholders, but the {len(images)} images "
                f"of the batch give {tokens} tokens; make both with the processor"
            )
