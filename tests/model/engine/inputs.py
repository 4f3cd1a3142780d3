"""Batches for the tiny network: prompts with images in them, of one layout."""

import dataclasses

import numpy as np
import torch
from handover_model.engine.functional.chunk import ChunkInput
from handover_model.engine.functional.inputs import chunk_input, move
from handover_model.engine.functional.token_layout import TokenLayout, find_layout
from handover_model.network.groot import Gr00tNetwork, ModelInput
from handover_model.processing.image import to_pixels
from handover_model.processing.samples import ByteSample
from handover_model.processing.tokenizer import pad_left_to

from ..tiny import EAGLE, IMAGE_TOKEN, normal

PAD = 1


def samples(
    texts: tuple[int, ...], grids: tuple[tuple[int, int], ...], slot: int = 0, state_dim: int = 5
) -> list[ByteSample]:
    """One sample per number of text tokens before its images; every image has one after it."""
    generator = np.random.default_rng(sum(texts))
    side = EAGLE.pixels_per_token
    made = []
    for count in texts:
        ids = [generator.integers(2, 50, count)]
        for down, right in grids:
            ids += [np.full(down * right, IMAGE_TOKEN), generator.integers(2, 50, 1)]
        frames = tuple(
            generator.integers(0, 256, (down * side, right * side, 3), np.uint8)
            for down, right in grids
        )
        state = generator.normal(size=(1, state_dim)).astype(np.float32)
        made.append(ByteSample(frames, np.concatenate(ids).astype(np.int64), state, slot))
    return made


def layout_of(batch: list[ByteSample], multiple: int = 1) -> TokenLayout:
    """The layout of a batch; there is one."""
    side = EAGLE.pixels_per_token
    grids = [(frame.shape[0] // side, frame.shape[1] // side) for frame in batch[0].frames]
    layout = find_layout([sample.input_ids for sample in batch], grids, IMAGE_TOKEN, multiple)
    assert layout is not None
    return layout


def engine_input(
    batch: list[ByteSample], layout: TokenLayout, dtype: torch.dtype = torch.float32
) -> ChunkInput:
    """What the engine reads of a batch."""
    return move(chunk_input(batch, layout, PAD), torch.device("cpu"), dtype)


def reference_input(batch: list[ByteSample], layout: TokenLayout) -> ModelInput:
    """What the network's modules read of the same batch."""
    ids, mask = pad_left_to([sample.input_ids for sample in batch], PAD, layout.length)
    return ModelInput(
        [to_pixels(frame) for sample in batch for frame in sample.frames],
        torch.from_numpy(ids),
        torch.from_numpy(mask),
        torch.from_numpy(np.stack([sample.state for sample in batch])),
        torch.tensor([sample.embodiment for sample in batch]),
    )


def noise_of(network: Gr00tNetwork, batch: int) -> torch.Tensor:
    """Noise for a batch of chunks."""
    config = network.config
    return normal(batch, config.action_horizon, config.max_action_dim)


def computed_whole(layout: TokenLayout) -> TokenLayout:
    """The same layout computed whole."""
    return dataclasses.replace(layout, known=0)
