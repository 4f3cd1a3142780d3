"""Resizing of frames to the policy's square image: center crop, then antialiased resize.

Conversion, the simulator and everything else that feeds a policy use this one `SquareResizer`, so
that training and evaluation see the same pixels. It uses swscale (through PyAV): bicubic with
B = 0, C = 1/2, widened by the scale factor, which is Pillow's antialiased BICUBIC (they differ by
0.02 of 255 levels on average) at a fraction of its time, and which works on YUV planes directly, so
that conversion needs no detour through RGB.
"""

from itertools import pairwise

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

# bitexact: the same bytes with and without SIMD, so on every machine of a cluster
_SCALING = "flags=bicubic+accurate_rnd+full_chroma_inp+full_chroma_int+bitexact:param0=0:param1=0.5"
CROP = "largest centred square, its corner on even pixels"
FILTER = "bicubic (B 0, C 0.5), antialiased: widened by the scale factor; swscale, bit exact"

_RANGES = {1: "tv", 2: "pc"}  # AVColorRange


def center_square(width: int, height: int) -> tuple[int, int, int]:
    """Return the largest centered square: (left, top, side), in pixels.

    The corner is on even pixels, so that a frame with subsampled color planes has the same crop.
    """
    side = min(width, height)
    return (width - side) // 4 * 2, (height - side) // 4 * 2, side


def _turns(frame: av.VideoFrame) -> list[str]:
    """Return FFmpeg's transposes that turn a frame upright; its rotation is counterclockwise."""
    quarter = round(frame.rotation / 90) % 4
    return {0: [], 1: ["cclock"], 2: ["clock", "clock"], 3: ["clock"]}[quarter]


class SquareResizer:
    """Crops and resizes frames of the same size and format as the one it is built from."""

    def __init__(
        self, like: av.VideoFrame, size: int, pixel_format: str, swap_colors: bool = False
    ) -> None:
        """Produce `size` × `size` frames of `pixel_format` (BT.601, limited range for YUV).

        A rotation that the container states is applied. swap_colors: exchange red and blue.
        """
        left, top, side = center_square(like.width, like.height)
        source = f"video_size={like.width}x{like.height}:pix_fmt={like.format.name}:time_base=1/1"
        if like.color_range in _RANGES:
            source += f":range={_RANGES[like.color_range]}"
        color = f"out_color_matrix=bt601:out_range={'tv' if 'yuv' in pixel_format else 'pc'}"
        self._graph = Graph()
        if hasattr(self._graph, "threads"):  # not in PyAV 15, which LeRobot holds
            self._graph.threads = 1
        stages = [
            self._graph.add("buffer", source),
            self._graph.add("crop", f"{side}:{side}:{left}:{top}"),
            *(self._graph.add("transpose", turn) for turn in _turns(like)),
            *self._swapped(swap_colors),
            self._graph.add("scale", f"{size}:{size}:{_SCALING}:{color}"),
            self._graph.add("format", pixel_format),
            self._graph.add("buffersink"),
        ]
        for stage, following in pairwise(stages):
            stage.link_to(following)
        self._graph.configure()

    def _swapped(self, swap_colors: bool) -> list[FilterContext]:
        if not swap_colors:
            return []
        return [
            self._graph.add("format", "gbrp"),
            self._graph.add("shuffleplanes", "0:2:1:3"),  # planes are green, blue, red
        ]

    def resize(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Crop and resize one frame; its pts is kept."""
        self._graph.push(frame)
        return self._graph.pull()  # type: ignore[return-value]  # video in, video out


def square_resize(frame: np.ndarray, size: int) -> np.ndarray:
    """Crop the center square and resize it: (H, W, 3) uint8 RGB -> (size, size, 3) uint8 RGB.

    Raises ValueError for any other shape or dtype.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {frame.shape} {frame.dtype}")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return SquareResizer(picture, size, "rgb24").resize(picture).to_ndarray(format="rgb24")
