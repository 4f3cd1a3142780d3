"""Image preparation on the GPU: the processor's crops and resizes as matrix products.

A resize is linear along each axis, and its matrix is the library's resize of the identity matrix:
so OpenCV and Pillow themselves provide the matrices, once for each size of frame, and the device
needs only products and roundings. Results equal the processor's except for values on the edge
between two gray levels: tests/model/engine/cuda/test_image_resize.py bounds them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from handover_model.processing.image import (
    CENTER,
    ImageOptions,
    edge_size,
    share_span,
    token_grid_size,
)

KEPT_SIZES = 16  # sizes of frames whose matrices are kept; cameras have few
# OpenCV enlarges bytes with weights that are multiples of 1/2048, and drops bits before it rounds:
# 1/8 of a level on average, measured with 4.14
FIXED_POINT, ENLARGING_HALF = 2048, 0.375

Size = tuple[int, int]  # height and width in pixels
Library = Callable[[int, int], np.ndarray]  # lengths before and after -> (after, before) float32


@dataclass(frozen=True)
class Resize:
    """One crop and resize of a frame."""

    rows: slice
    columns: slice
    down: Tensor
    """(H, h) float32: the rows of the result from the rows kept"""
    right: Tensor
    """(W, w) float32: the same for columns"""
    rounds_between: bool
    """Whether columns are rounded to gray levels before rows are computed"""
    half: float = 0.5
    """Added before the fraction is cut off"""

    def to(self, device: torch.device) -> "Resize":
        """Move to a device."""
        return replace(self, down=self.down.to(device), right=self.right.to(device))


class DeviceImageResizer:
    """Uploads frames as cameras give them, and prepares them on the device. For one thread."""

    def __init__(self, options: ImageOptions, side: int, device: torch.device) -> None:
        """Take the processor's options and the side of an image token in pixels."""
        self._options, self._side, self._device = options, side, device
        self.kept: OrderedDict[Size, list[Resize]] = OrderedDict()

    def __call__(self, frames: Sequence[np.ndarray]) -> Tensor:
        """Prepare frames that become one size: each (h, w, 3) uint8 -> (N, H, W, 3) uint8."""
        prepared: dict[int, Tensor] = {}
        for size in dict.fromkeys(frame.shape[:2] for frame in frames):
            places = [place for place, frame in enumerate(frames) if frame.shape[:2] == size]
            batch = self._upload(np.stack([frames[place] for place in places]))
            done = apply_resizes(batch, self._resizes(*size))
            prepared.update(zip(places, done.split(1), strict=True))
        return torch.cat([prepared[place] for place in range(len(frames))])

    def _upload(self, frames: np.ndarray) -> Tensor:
        given = torch.from_numpy(frames)
        if self._device.type == "cuda":
            given = given.pin_memory()  # so that the copy is asynchronous
        return given.to(self._device, non_blocking=True)

    def _resizes(self, height: int, width: int) -> list[Resize]:
        key = (height, width)
        if key not in self.kept:
            plan = plan_resizes(height, width, self._options, self._side)
            self.kept[key] = [resize.to(self._device) for resize in plan]
            if len(self.kept) > KEPT_SIZES:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]


def can_prepare(options: ImageOptions) -> bool:
    """Return whether these options are supported; the older letterbox is left to the CPU."""
    return options.use_albumentations


def apply_resizes(frames: Tensor, resizes: Sequence[Resize]) -> Tensor:
    """Resize (N, h, w, 3) uint8 to (N, H, W, 3) uint8; no shape depends on values."""
    levels = frames.permute(0, 3, 1, 2).float()
    for resize in resizes:
        levels = levels[:, :, resize.rows, resize.columns] @ resize.right.T
        if resize.rounds_between:
            levels = _cut(levels, resize.half)
        levels = _cut(resize.down @ levels, resize.half)
    return levels.to(torch.uint8).permute(0, 2, 3, 1)


def plan_resizes(height: int, width: int, options: ImageOptions, side: int) -> list[Resize]:
    """List the resizes by which handover_model.processing.image prepares frames of a size."""
    plan: list[Resize] = []
    size, window = (height, width), (slice(0, height), slice(0, width))
    for crops in (False, True):
        if crops and options.crop_fraction is not None:
            spans = [
                share_span(length, options.crop_fraction, place)
                for length, place in zip(size, CENTER, strict=True)
            ]
            window = (spans[0], spans[1])
            size = (spans[0].stop - spans[0].start, spans[1].stop - spans[1].start)
        edge = options.shortest_image_edge
        target = size if edge is None else edge_size(*size, edge)
        if target != size:
            if max(target) > max(size):
                enlarged = _resize(window, size, target, _enlarge)
                plan.append(replace(enlarged, half=ENLARGING_HALF))
            else:
                plan.append(_resize(window, size, target, _shrink))
            size, window = target, (slice(0, target[0]), slice(0, target[1]))
    target = token_grid_size(*size, side)
    plan.append(replace(_resize(window, size, target, _pillow), rounds_between=True))
    return plan


def _resize(window: tuple[slice, slice], size: Size, target: Size, library: Library) -> Resize:
    down, right = (
        torch.from_numpy(library(before, after).copy())
        for before, after in zip(size, target, strict=True)
    )
    return Resize(*window, down, right, rounds_between=False)


def _shrink(before: int, after: int) -> np.ndarray:
    identity = np.eye(before, dtype=np.float32)
    return cv2.resize(identity, (before, after), interpolation=cv2.INTER_AREA)


def _enlarge(before: int, after: int) -> np.ndarray:
    return np.rint(_shrink(before, after) * FIXED_POINT) / np.float32(FIXED_POINT)


def _pillow(before: int, after: int) -> np.ndarray:
    identity = Image.fromarray(np.eye(before, dtype=np.float32))
    return np.asarray(identity.resize((before, after), Image.Resampling.BICUBIC))


def _cut(levels: Tensor, half: float) -> Tensor:
    return (levels + half).floor().clamp(0, 255)
