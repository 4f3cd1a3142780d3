"""Samples: single observations and chunks as the processor prepares them."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from handover_model.processing.image import ImageOptions, prepare_frame, prepared_size, to_pixels


@dataclass(frozen=True)
class NetworkSample:
    """One observation, ready for a batch."""

    images: tuple[Tensor, ...]
    """(1, 3, H, W) float32 each, in [-1, 1]"""
    input_ids: np.ndarray
    """(S,) int64"""
    state: np.ndarray
    """(state steps, max_state_dim) float32"""
    embodiment: int


@dataclass(frozen=True)
class ByteSample:
    """One observation whose frames have their final size, but are still bytes."""

    frames: tuple[np.ndarray, ...]
    """(H, W, 3) uint8 each"""
    input_ids: np.ndarray
    """(S,) int64"""
    state: np.ndarray
    """(state steps, max_state_dim) float32"""
    embodiment: int

    def grids(self, side: int) -> list[tuple[int, int]]:
        """Return each frame's (down, right) image tokens, which are `side` pixels wide."""
        return [(frame.shape[0] // side, frame.shape[1] // side) for frame in self.frames]

    def scaled(self) -> NetworkSample:
        """Scale the frames' values to the network's range."""
        return NetworkSample(
            tuple(map(to_pixels, self.frames)), self.input_ids, self.state, self.embodiment
        )


@dataclass(frozen=True)
class RawSample(ByteSample):
    """One observation whose frames are as its cameras gave them; the engine prepares them."""

    options: ImageOptions
    image_side: int

    def grids(self, side: int) -> list[tuple[int, int]]:
        """See ByteSample.grids."""
        sizes = [
            prepared_size(frame.shape[0], frame.shape[1], self.options, self.image_side)
            for frame in self.frames
        ]
        return [(height // side, width // side) for height, width in sizes]

    def scaled(self) -> NetworkSample:
        """Prepare the frames like the processor, and scale their values."""
        frames = tuple(prepare_frame(one, self.options, self.image_side) for one in self.frames)
        return ByteSample(frames, self.input_ids, self.state, self.embodiment).scaled()


@dataclass(frozen=True)
class TrainingSample:
    """One observation and the demonstrated chunk that followed it."""

    sample: NetworkSample
    action: np.ndarray
    """(horizon, max_action_dim) float32"""
    action_mask: np.ndarray
    """(horizon, max_action_dim) float32"""
