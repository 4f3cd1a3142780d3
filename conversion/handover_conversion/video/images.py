"""Decoder of single images, PNG or JPEG, to the frames that the rest of conversion works on."""

import io

import av
import numpy as np
from av.error import FFmpegError

from handover_conversion.video.frame_index import VideoError


def decode_image(content: bytes) -> av.VideoFrame:
    """Decode one PNG or JPEG. Raises VideoError."""
    try:
        with av.open(io.BytesIO(content), "r") as container:
            for frame in container.decode(video=0):
                return frame
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        raise VideoError(f"an image cannot be decoded: {error}") from None
    raise VideoError("an image holds no picture")


def frame_of(pixels: np.ndarray) -> av.VideoFrame:
    """Take pixels as a frame: (H, W, 3) or (3, H, W) uint8 RGB. Raises VideoError."""
    if pixels.ndim == 3 and pixels.shape[2] != 3 and pixels.shape[0] == 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise VideoError(f"expected images (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
