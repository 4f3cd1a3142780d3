"""Augmentation of training images: place of the crop, rotation, color jitter.

All cameras of a sample are changed alike. The draw is a separate value, so that a sample can be
prepared again identically.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from handover_model.processing.image import CENTER, ImageOptions

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
JITTERS = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class Augmentation:
    """Changes of one training sample's images; the defaults change nothing."""

    place: tuple[float, float] = CENTER
    """Place of the crop, as shares of the room that it leaves (down, right)"""
    angle_deg: float = 0.0
    """Rotation about the image's center, counter-clockwise"""
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    """Shift of the hue, in turns of the color circle"""


def draw_augmentation(options: ImageOptions, generator: np.random.Generator) -> Augmentation:
    """Draw a training sample's augmentation within the configured ranges."""
    angle = options.random_rotation_angle or 0.0
    ranges: Mapping[str, float] = options.color_jitter_params or {}
    drawn = {name: generator.uniform(-1, 1) * ranges.get(name, 0.0) for name in JITTERS}
    return Augmentation(
        place=(generator.random(), generator.random()),
        angle_deg=generator.uniform(-1, 1) * angle,
        brightness=max(0.0, 1 + drawn["brightness"]),
        contrast=max(0.0, 1 + drawn["contrast"]),
        saturation=max(0.0, 1 + drawn["saturation"]),
        hue=drawn["hue"],
    )


def augment(frame: np.ndarray, change: Augmentation) -> np.ndarray:
    """Rotate and recolor a frame, (h, w, 3) uint8 RGB -> the same shape; black in the corners."""
    if change.angle_deg:
        height, width = frame.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), change.angle_deg, 1.0)
        frame = cv2.warpAffine(frame, turn, (width, height), flags=cv2.INTER_LINEAR)
    if (change.brightness, change.contrast, change.saturation) != (1.0, 1.0, 1.0):
        frame = _recolor(frame, change)
    return _shift_hue(frame, change.hue) if change.hue else frame


def _recolor(frame: np.ndarray, change: Augmentation) -> np.ndarray:
    values = frame.astype(np.float32) * change.brightness
    mean = float((values @ LUMA).mean())
    values = mean + (values - mean) * change.contrast
    gray = (values @ LUMA)[..., None]
    values = gray + (values - gray) * change.saturation
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _shift_hue(frame: np.ndarray, turns: float) -> np.ndarray:
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL)  # 256 hues: uint8 wraps around by itself
    hsv[..., 0] += np.uint8(round(turns * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
