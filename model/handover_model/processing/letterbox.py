"""The older image transform of the model's family: black bars to a square, resize, crop, resize."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def letterbox_resize(
    frame: np.ndarray,
    target: tuple[int, int],
    crop: tuple[int, int],
    place: tuple[float, float],
) -> np.ndarray:
    """Transform a frame: (h, w, 3) uint8 -> (*target, 3) uint8.

    target, crop: (height, width) in pixels; place: where the crop lies, (0.5, 0.5) the centre.
    """
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    image = _resize(_pad_to_square(image), target)
    top = round((image.shape[-2] - crop[0]) * place[0])
    left = round((image.shape[-1] - crop[1]) * place[1])
    image = image[..., top : top + crop[0], left : left + crop[1]]
    return _resize(image, target)[0].permute(1, 2, 0).contiguous().numpy()


def _pad_to_square(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    bars = (left, side - width - left, top, side - height - top)
    return functional.pad(image, bars)


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (1, 3, h, w) uint8, bilinear with antialiasing."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    resized = functional.interpolate(
        image, tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.round().clamp(0, 255).to(torch.uint8)
