"""The shipped network's images: their size in pixels and in tokens."""

import numpy as np
from handover_model.processing import ImageOptions, prepare_frame

IMAGE_EDGE = 168  # pixels: 12 x 12 patches, 36 image tokens
PIXELS_PER_TOKEN = 28
IMAGE_TOKENS = (IMAGE_EDGE // PIXELS_PER_TOKEN) ** 2
IMAGE = ImageOptions(shortest_image_edge=IMAGE_EDGE)


def prepare_image(frame: np.ndarray) -> np.ndarray:
    """Crop and scale a camera's frame: (H, W, 3) -> (168, 168, 3) uint8."""
    return prepare_frame(frame, IMAGE, PIXELS_PER_TOKEN)
