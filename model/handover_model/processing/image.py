"""Image preparation from a camera's frame to the network: crop, resize, values in [-1, 1].

The published model was trained on images from OpenCV's area interpolation and Pillow's bicubic;
another library's interpolation gives images unlike those of training.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from handover_model.errors import ModalityError

MIN_TOKENS, MAX_TOKENS = 4, 4096  # image tokens that the backbone accepts per image
MAX_SIDE = 4096  # px, of a prepared image
MIN_SHARE = 0.01  # of a side, kept by the crop
MAX_ASPECT = 8  # longer side over shorter; scaling a sliver's short side up would fill the memory
CENTER = (0.5, 0.5)  # place of the crop, as shares of the room that it leaves (down, right)


@dataclass(frozen=True)
class ImageOptions:
    """The options of processor_config.json that image preparation reads."""

    use_albumentations: bool = True
    shortest_image_edge: int | None = 256
    crop_fraction: float | None = 0.95
    image_target_size: tuple[int, int] | None = None
    image_crop_size: tuple[int, int] | None = None
    random_rotation_angle: float | None = None
    color_jitter_params: dict[str, float] | None = None


def check_options(options: ImageOptions) -> None:
    """Raise ValueError for sizes that no frame can be brought to, or not in bounded memory."""
    target, crop = options.image_target_size or (), options.image_crop_size or ()
    edge = () if options.shortest_image_edge is None else (options.shortest_image_edge,)
    for side in (*edge, *target, *crop):
        if type(side) is not int or not 1 <= side <= MAX_SIDE:
            raise ValueError(f"an image size is {side!r}, expected 1 to {MAX_SIDE} pixels")
    share = options.crop_fraction
    if share is not None and not (type(share) in (int, float) and MIN_SHARE <= share <= 1):
        raise ValueError(f"crop_fraction is {share!r}, expected {MIN_SHARE} to 1")


def prepare_frame(
    frame: np.ndarray, options: ImageOptions, side: int, place: tuple[float, float] = CENTER
) -> np.ndarray:
    """Prepare one frame: (h, w, 3) uint8 RGB -> (H, W, 3) uint8, H and W multiples of `side`.

    place: of the crop, (0.5, 0.5) being the center; training draws it at random.
    """
    return resize_to_multiples(crop_frame(frame, options, place), side)


def prepared_size(height: int, width: int, options: ImageOptions, side: int) -> tuple[int, int]:
    """Return the (H, W) of prepare_frame's result; tried once for each size of frame."""
    return _try_size(height, width, replace(options, color_jitter_params=None), side)


@lru_cache(maxsize=64)
def _try_size(height: int, width: int, options: ImageOptions, side: int) -> tuple[int, int]:
    prepared = prepare_frame(np.zeros((height, width, 3), np.uint8), options, side)
    return prepared.shape[0], prepared.shape[1]


def crop_frame(
    frame: np.ndarray, options: ImageOptions, place: tuple[float, float] = CENTER
) -> np.ndarray:
    """Crop and resize a frame as in the model's training: (h, w, 3) -> (h', w', 3), uint8 RGB."""
    check_frame(frame)
    if not options.use_albumentations:
        target, crop = options.image_target_size, options.image_crop_size
        if target is None or crop is None:
            raise ModalityError(
                "use_albumentations is false: expected image_target_size and image_crop_size, "
                f"got {target} and {crop}"
            )
        return letterbox_resize(frame, target, crop, place)
    if options.shortest_image_edge is not None:
        frame = scale_to_edge(frame, options.shortest_image_edge)
    if options.crop_fraction is not None:
        frame = crop_share(frame, options.crop_fraction, place)
    if options.shortest_image_edge is not None:
        frame = scale_to_edge(frame, options.shortest_image_edge)
    return frame


def scale_to_edge(frame: np.ndarray, edge: int) -> np.ndarray:
    """Scale a frame so that its shorter side is `edge` pixels; area interpolation."""
    height, width = edge_size(frame.shape[0], frame.shape[1], edge)
    if (height, width) == frame.shape[:2]:
        return frame
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def edge_size(height: int, width: int, edge: int) -> tuple[int, int]:
    """Return (height, width) scaled so that the shorter one is `edge`."""
    scale = edge / min(height, width)
    return round(height * scale), round(width * scale)


def crop_share(frame: np.ndarray, share: float, place: tuple[float, float]) -> np.ndarray:
    """Keep a share of both sides; `place`: of the crop in the rest."""
    height, width = frame.shape[:2]
    return frame[share_span(height, share, place[0]), share_span(width, share, place[1])]


def share_span(length: int, share: float, place: float) -> slice:
    """Return the part of a side that a crop keeps."""
    kept = int(share * length)
    start = int((length - kept) * place)
    return slice(start, start + kept)


def resize_to_multiples(frame: np.ndarray, side: int) -> np.ndarray:
    """Resize a frame so that both sides are multiples of `side`; Pillow's bicubic."""
    height, width = frame.shape[:2]
    target_height, target_width = token_grid_size(height, width, side)
    if (target_height, target_width) == (height, width):
        return np.ascontiguousarray(frame)
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(image.resize((target_width, target_height), Image.Resampling.BICUBIC))


def token_grid_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the nearest size in whole tokens, 4 to 4096, of about the same shape."""
    target_height = max(side, round(height / side) * side)
    target_width = max(side, round(width / side) * side)
    smallest, largest = MIN_TOKENS * side**2, MAX_TOKENS * side**2
    if target_height * target_width > largest:
        scale = math.sqrt(height * width / largest)
        target_height = max(side, math.floor(height / scale / side) * side)
        target_width = max(side, math.floor(width / scale / side) * side)
    elif target_height * target_width < smallest:
        scale = math.sqrt(smallest / (height * width))
        target_height = math.ceil(height * scale / side) * side
        target_width = math.ceil(width * scale / side) * side
    return target_height, target_width


def letterbox_resize(
    frame: np.ndarray,
    target: tuple[int, int],
    crop: tuple[int, int],
    place: tuple[float, float],
) -> np.ndarray:
    """Apply the older image transform of the model's family: black bars, resize, crop, resize.

    (h, w, 3) uint8 -> (*target, 3) uint8.

    target, crop: (height, width) in pixels; place: of the crop, (0.5, 0.5) being the center.
    """
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
    image = _resize_bilinear(_pad_to_square(image), target)
    top = round((image.shape[-2] - crop[0]) * place[0])
    left = round((image.shape[-1] - crop[1]) * place[1])
    image = image[..., top : top + crop[0], left : left + crop[1]]
    return _resize_bilinear(image, target)[0].permute(1, 2, 0).contiguous().numpy()


def _pad_to_square(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    bars = (left, side - width - left, top, side - height - top)
    return functional.pad(image, bars)


def _resize_bilinear(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (1, 3, h, w) uint8, bilinear with antialiasing."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    resized = functional.interpolate(
        image, tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.round().clamp(0, 255).to(torch.uint8)


def to_pixels(frame: np.ndarray) -> Tensor:
    """Scale a prepared frame to [-1, 1]: (H, W, 3) uint8 -> (1, 3, H, W) float32."""
    values = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()
    return (values / 255 - 0.5) / 0.5


def check_frame(frame: np.ndarray) -> None:
    """Raise ModalityError unless a frame is a color image and not a sliver."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise ModalityError(
            f"a frame has shape {frame.shape} and type {frame.dtype}, expected (height, width, 3) "
            "uint8 RGB"
        )
    height, width = frame.shape[:2]
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ModalityError(
            f"a frame is {height}x{width}, expected a longer side of at most {MAX_ASPECT} times "
            "the shorter one"
        )
