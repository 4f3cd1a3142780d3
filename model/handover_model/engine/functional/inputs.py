"""Conversion of prepared samples to the tensors of a layout."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from handover_model.engine.functional.chunk import ChunkInput
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.processing.samples import ByteSample
from handover_model.processing.tokenizer import pad_left_to

StackFramesFn = Callable[
    [Sequence[np.ndarray]], Tensor
]  # frames (h, w, 3) uint8 -> (B, H, W, 3) uint8


def stack_frames(frames: Sequence[np.ndarray]) -> Tensor:
    """Stack prepared frames: each (H, W, 3) uint8 -> (B, H, W, 3)."""
    return torch.from_numpy(np.stack(frames))


def chunk_input(
    samples: Sequence[ByteSample],
    layout: TokenLayout,
    pad_token: int,
    stack: StackFramesFn = stack_frames,
) -> ChunkInput:
    """Convert samples of one layout to its tensors, on the CPU, with the state in float32.

    stack: makes one tensor of all samples' frames at one place; it may prepare them on a device.
    """
    ids, mask = pad_left_to([sample.input_ids for sample in samples], pad_token, layout.length)
    text = np.concatenate([ids[:, start:stop] for start, stop in layout.texts], axis=1)
    frames = tuple(
        stack([sample.frames[place] for sample in samples]) for place in range(len(layout.images))
    )
    return ChunkInput(
        frames,
        torch.from_numpy(text),
        torch.from_numpy(mask == 1) if layout.padded else None,
        torch.from_numpy(np.stack([sample.state for sample in samples])),
    )


def start_ids(sample: ByteSample, layout: TokenLayout) -> Tensor:
    """Return the ids before the first image: (1, tokens) int64."""
    return torch.from_numpy(sample.input_ids[None, : layout.known].copy())


def move(inputs: ChunkInput, device: torch.device, dtype: torch.dtype) -> ChunkInput:
    """Move to a device, and cast the state to the head's type."""
    return ChunkInput(
        tuple(frame.to(device, non_blocking=True) for frame in inputs.frames),
        inputs.text_ids.to(device, non_blocking=True),
        None if inputs.real is None else inputs.real.to(device, non_blocking=True),
        inputs.state.to(device, dtype, non_blocking=True),
    )
