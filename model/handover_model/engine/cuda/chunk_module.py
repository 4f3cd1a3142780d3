"""Module that computes a whole chunk for one layout; it is captured, compiled and checked."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handover_model.engine.functional.chunk import ChunkInput, EngineWeights, Tables, make_chunk
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.network.real_time_chunking import CleanPrefix


class ChunkModule(nn.Module):
    """Frames, text, padding, state and noise to actions; the layout fixes every shape."""

    def __init__(
        self, weights: EngineWeights, layout: TokenLayout, tables: Tables, continues: bool = False
    ) -> None:
        """continues: the network has learnt to continue a prefix, which is then an input too."""
        super().__init__()
        self.weights, self.layout, self.tables = weights, layout, tables
        self.continues = continues

    def forward(
        self, text_ids: Tensor, real: Tensor, state: Tensor, noise: Tensor, *more: Tensor
    ) -> Tensor:
        """Denoise chunks: see ChunkInput for the shapes -> (B, horizon, max_action_dim) float32.

        more: the prefix's target and clean steps, if the network continues one, then the frames.
        """
        prefix = None
        if self.continues:
            prefix, more = CleanPrefix(*more[:2]), more[2:]
        inputs = ChunkInput(more, text_ids, real, state)
        return make_chunk(self.weights, self.layout, self.tables, inputs, noise, prefix=prefix)


def empty_inputs(
    layout: TokenLayout,
    pixels_per_token: int,
    state: tuple[int, int],
    noise: tuple[int, int],
    device: torch.device,
    dtype: torch.dtype,
    continues: bool = False,
) -> list[Tensor]:
    """Make a layout's static inputs, all zeros; state: (steps, dim), noise: (horizon, dim)."""
    batch, side = layout.batch, pixels_per_token
    frames = [
        torch.zeros(batch, down * side, right * side, 3, dtype=torch.uint8, device=device)
        for down, right in layout.grids
    ]
    prefix = [
        torch.zeros(batch, *noise, device=device),
        torch.zeros(batch, noise[0], dtype=torch.bool, device=device),
    ]
    return [
        torch.zeros(batch, layout.text_tokens, dtype=torch.int64, device=device),
        torch.ones(batch, layout.length, dtype=torch.bool, device=device),
        torch.zeros(batch, *state, dtype=dtype, device=device),
        torch.zeros(batch, *noise, device=device),
        *(prefix if continues else ()),
        *frames,
    ]


def random_inputs(empty: Sequence[Tensor], vocabulary: int, seed: int = 0) -> list[Tensor]:
    """Draw inputs of these shapes, with one place of padding, to compare two computations."""
    generator = torch.Generator().manual_seed(seed)
    text_ids, real, state, noise, *more = empty
    visible = torch.ones(real.shape, dtype=torch.bool)
    visible[:, 0] = False
    drawn = [
        torch.randint(vocabulary, text_ids.shape, generator=generator),
        visible,
        torch.randn(state.shape, generator=generator),
        torch.randn(noise.shape, generator=generator),
        *(_draw(values, generator) for values in more),
    ]
    return [values.to(like.device, like.dtype) for values, like in zip(drawn, empty, strict=True)]


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a frame, a prefix's target, or its clean steps: the first third of the chunk."""
    if like.dtype == torch.bool:
        return torch.arange(like.shape[1]).expand(like.shape) < like.shape[1] // 3
    if like.dtype == torch.uint8:
        return torch.randint(256, like.shape, generator=generator)
    return torch.randn(like.shape, generator=generator)
