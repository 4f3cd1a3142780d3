"""Small H.264 videos of an episode's cameras, which browsers play whatever the dataset holds."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from handover_conversion import DatasetError
from handover_conversion.video import Encoding, Mp4Encoder

_ENCODING = Encoding(
    "libx264",
    # baseline: what every browser and phone plays
    {"preset": "veryfast", "crf": "27", "profile": "baseline", "movflags": "+faststart"},
    key_frame_interval=15,  # a reader who drags the cursor waits for at most these
)
_LONGEST_SIDE = 400  # pixels
_MOST_RATE_HZ = 15.0  # frames that are shown a second; the curves have every step


@dataclass(frozen=True)
class Film:
    """One camera's view of an episode; `problem` says why it is missing or ends early."""

    camera: str
    video: bytes
    problem: str = ""


def film_rows(length: int, rate_hz: float) -> tuple[list[int], Fraction]:
    """Choose the rows that a film shows, and its frames per second, so that times agree."""
    every = max(1, math.ceil(rate_hz / _MOST_RATE_HZ - 1e-6))
    return list(range(0, length, every)), Fraction(rate_hz).limit_denominator(10_000) / every


def make_film(camera: str, frames: Iterable[np.ndarray], fps: Fraction) -> Film:
    """Encode frames, (H, W, 3) uint8 each; the first that cannot be decoded ends the film."""
    problem, encoder = "", Mp4Encoder(_ENCODING, fps)
    with encoder:
        try:
            for frame in frames:
                encoder.encode(_small(frame))
        except DatasetError as error:
            problem = str(error)
    return Film(camera, encoder.video if encoder.count else b"", problem)


def _small(frame: np.ndarray) -> av.VideoFrame:
    height, width = frame.shape[:2]
    ratio = min(1.0, _LONGEST_SIDE / max(height, width))
    even = [max(16, 2 * round(side * ratio / 2)) for side in (width, height)]
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(width=even[0], height=even[1], format="yuv420p")
