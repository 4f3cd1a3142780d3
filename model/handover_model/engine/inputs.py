"""From prepared samples to the tensors of a layout."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from handover_model.engine.chunk import ChunkInput
from handover_model.engine.layout import Layout
from handover_model.processor import PreparedSample
from handover_model.tokenizer import pad_left_to


def chunk_input(samples: Sequence[PreparedSample], layout: Layout, pad_token: int) -> ChunkInput:
    """Put samples of one layout into its tensors, on the CPU; the state is float32 there."""
    ids, mask = pad_left_to([sample.input_ids for sample in samples], pad_token, layout.length)
    text = np.concatenate([ids[:, start:stop] for start, stop in layout.texts], axis=1)
    frames = tuple(
        torch.from_numpy(np.stack([sample.frames[place] for sample in samples]))
        for place in range(len(layout.images))
    )
    return ChunkInput(
        frames,
        torch.from_numpy(text),
        torch.from_numpy(mask == 1) if layout.padded else None,
        torch.from_numpy(np.stack([sample.state for sample in samples])),
    )


def start_ids(sample: PreparedSample, layout: Layout) -> Tensor:
    """Give the ids before the first image: (1, tokens) int64."""
    return torch.from_numpy(sample.input_ids[None, : layout.known].copy())


def move(inputs: ChunkInput, device: torch.device, dtype: torch.dtype) -> ChunkInput:
    """Move to a device, and the state to the head's type."""
    return ChunkInput(
        tuple(frame.to(device, non_blocking=True) for frame in inputs.frames),
        inputs.text_ids.to(device, non_blocking=True),
        None if inputs.real is None else inputs.real.to(device, non_blocking=True),
        inputs.state.to(device, dtype, non_blocking=True),
    )
