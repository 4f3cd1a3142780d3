"""An action chunk as one function of tensors: frames, text, state and noise in, actions out.

All shapes come from the layout, nothing is read back to the host, and no index depends on data: so
the function can be captured in one CUDA graph and compiled in one piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from handover_model.engine.functional.action_head import (
    HeadWeights,
    encode_state,
    order_memories,
    split_memory,
    velocity_of,
)
from handover_model.engine.functional.language import KeyValue, LanguageWeights, Rotation, read
from handover_model.engine.functional.linear import Linear
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.engine.functional.vision import VisionWeights, look
from handover_model.network.dit import Memory
from handover_model.network.real_time_chunking import CleanPrefix, Prefix, choose_sampler


@dataclass(frozen=True)
class EngineWeights:
    """The whole network for one embodiment."""

    vision: VisionWeights
    language: LanguageWeights
    head: HeadWeights


@dataclass(frozen=True)
class Tables:
    """Tensors that depend only on a layout, computed in advance."""

    rotation: Rotation
    positions: tuple[Tensor, ...]
    """Each image's position embeddings, (patches, hidden)"""
    visible: Tensor
    """(tokens, length) bool: the causal order"""


@dataclass(frozen=True)
class ChunkInput:
    """Input tensors of one batch."""

    frames: tuple[Tensor, ...]
    """(B, H, W, 3) uint8 for each image of a sample, prepared"""
    text_ids: Tensor
    """(B, text tokens) int64: the prompt without image tokens, after the start"""
    real: Tensor | None
    """(B, length) bool, false at padding; None if there is none"""
    state: Tensor
    """(B, state steps, max_state_dim), normalized, in the head's type"""


@dataclass(frozen=True)
class PromptStart:
    """The start of a prompt, before any image; it depends only on the instruction."""

    past: tuple[KeyValue, ...]
    """Keys and values of the language model's layers"""
    text_memory: Tensor | None
    """(1, tokens, text blocks x 2 x width): as the action head's text blocks see it"""


@dataclass(frozen=True)
class Observed:
    """Inputs of the denoising steps that depend only on the observation."""

    state_tokens: Tensor
    memories: list[Memory | None]


def make_chunk(
    weights: EngineWeights,
    layout: TokenLayout,
    tables: Tables,
    inputs: ChunkInput,
    noise: Tensor,
    start: PromptStart | None = None,
    prefix: Prefix | None = None,
) -> Tensor:
    """Denoise chunks: noise (B, H, A) float32 -> actions (B, H, A) float32, normalized units."""
    features = read_prompt(weights, layout, tables, inputs, start)
    return denoise(
        weights.head, observe(weights.head, layout, features, inputs, start), noise, prefix
    )


def read_prompt(
    weights: EngineWeights,
    layout: TokenLayout,
    tables: Tables,
    inputs: ChunkInput,
    start: PromptStart | None = None,
) -> Tensor:
    """Run the backbone: features of the tokens after the start, (B, tokens, hidden)."""
    images = _image_tokens(weights.vision, inputs.frames, tables.positions)
    hidden = _lay_out(
        layout, functional.embedding(inputs.text_ids, weights.language.embeddings), images
    )
    mask = _mask(layout, tables.visible, inputs.real)
    past = start.past if start is not None else ()
    return read(weights.language, hidden, tables.rotation, mask, past)[0]


def observe(
    head: HeadWeights,
    layout: TokenLayout,
    features: Tensor,
    inputs: ChunkInput,
    start: PromptStart | None = None,
) -> Observed:
    """Prepare state tokens and every block's keys and values, once for all denoising steps."""
    features = features.to(head.dtype)
    if head.features is not None:
        features = head.features(features)
    before = start.text_memory if start is not None else None
    mask = None if inputs.real is None else cut(inputs.real, layout.texts, 0)[:, None, None]
    offset = layout.known
    text = _memories(head, head.text_memory, cut(features, layout.texts, offset), before, mask)
    image = _memories(head, head.image_memory, cut(features, layout.images, offset), None, None)
    return Observed(encode_state(head, inputs.state), order_memories(head, text, image))


def denoise(
    head: HeadWeights, observed: Observed, noise: Tensor, prefix: Prefix | None = None
) -> Tensor:
    """Run the denoising steps: noise (B, H, A) float32 -> actions, the same."""
    clean = prefix.clean if isinstance(prefix, CleanPrefix) else None
    velocity = velocity_of(head, observed.state_tokens, observed.memories, clean)
    return choose_sampler(prefix)(velocity, noise, len(head.steps))


def cut(rows: Tensor, spans: Sequence[tuple[int, int]], offset: int) -> Tensor:
    """Select places of rows: (B, places, ...) -> (B, kept, ...); `offset` is the first place."""
    parts = [rows[:, start - offset : stop - offset] for start, stop in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _memories(
    head: HeadWeights,
    project: Linear | None,
    tokens: Tensor,
    before: Tensor | None,
    mask: Tensor | None,
) -> list[Memory]:
    if project is None:
        return []
    projected = project(tokens)
    if before is not None:
        projected = torch.cat([before, projected], dim=1)
    return split_memory(head, projected, mask)


def _image_tokens(
    weights: VisionWeights, frames: Sequence[Tensor], positions: Sequence[Tensor]
) -> list[Tensor]:
    """Encode frames, those of one size together: each (B, H, W, 3) -> each (B, tokens, hidden)."""
    tokens: dict[int, Tensor] = {}
    for size in dict.fromkeys(frame.shape for frame in frames):
        places = [place for place, frame in enumerate(frames) if frame.shape == size]
        batch = torch.cat([frames[place] for place in places])
        seen = look(weights, batch, positions[places[0]])
        tokens.update(zip(places, seen.chunk(len(places)), strict=True))
    return [tokens[place] for place in range(len(frames))]


def _lay_out(layout: TokenLayout, text: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Put text and image tokens into their places: (B, tokens, hidden)."""
    parts: list[tuple[int, Tensor]] = []
    taken = 0
    for start, stop in layout.texts:
        parts.append((start, text[:, taken : taken + stop - start]))
        taken += stop - start
    starts = (start for start, _ in layout.images)
    parts += zip(starts, (image.to(text.dtype) for image in images), strict=True)
    return torch.cat([part for _, part in sorted(parts, key=lambda part: part[0])], dim=1)


def _mask(layout: TokenLayout, visible: Tensor, real: Tensor | None) -> Tensor | None:
    """Return the keys that each token sees; None if the causal order is enough."""
    if real is None:
        return visible[None, None] if layout.known else None
    # a padding place also sees itself: a row without any key is undefined in some kernels
    itself = torch.eye(layout.length, dtype=torch.bool, device=visible.device)[layout.known :]
    return ((visible & real[:, None, :]) | itself)[:, None]
