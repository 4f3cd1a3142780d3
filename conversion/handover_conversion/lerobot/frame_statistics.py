"""Camera frames of an episode as LeRobot stores them: an mp4, and statistics of sampled pixels.

A key frame every 2nd frame and, for AV1, quality 30 are lerobot's defaults
(lerobot/datasets/video_utils.py, encode_video_frames), made for reading single frames at random.
"""

import os
from typing import Literal

import numpy as np

from handover_conversion.video.encode import Encoding, Mp4Encoder

RecordingCodec = Literal["h264", "av1"]

_ENCODINGS: dict[RecordingCodec, Encoding] = {
    "h264": Encoding("libx264", {"preset": "veryfast", "crf": "18"}, key_frame_interval=2),
    "av1": Encoding(
        "libsvtav1",
        {"preset": "8", "crf": "30", "svtav1-params": "lp=1"},
        key_frame_interval=2,
    ),
}

# lerobot looks at 100 frames of an episode of up to 464, at 1 pixel in 4 along each side
# (lerobot/datasets/compute_stats.py)
_SAMPLED_FRAMES = 100
_PIXEL_STRIDE = 4


def encoder_settings(codec: RecordingCodec) -> dict[str, str | int]:
    """Describe what decides the video's bytes, for the dataset's record of how it was made."""
    return _ENCODINGS[codec].described()


class VideoRecorder(Mp4Encoder):
    """Encodes one episode's frames, and samples their pixels.

    with VideoRecorder("h264", fps=50, height=480, width=640, length=400) as recorder:
        recorder.add(frame)  # 400 times
    recorder.video, recorder.statistics
    """

    def __init__(
        self, codec: RecordingCodec, fps: int, height: int, width: int, length: int
    ) -> None:
        """Expect `length` frames of (height, width, 3) uint8 RGB."""
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; else its settings, every episode
        super().__init__(_ENCODINGS[codec], fps)
        self._shape = (height, width, 3)
        samples = min(_SAMPLED_FRAMES, length)
        self._sampled = set(np.linspace(0, length - 1, samples).round().astype(int).tolist())
        self._pixels: list[np.ndarray] = []

    def __enter__(self) -> "VideoRecorder":
        return self

    def add(self, frame: np.ndarray) -> None:
        """Encode the next frame. Raises ValueError for another shape or dtype."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"expected {self._shape} uint8, got {frame.shape} {frame.dtype}")
        if self.count in self._sampled:
            self._pixels.append(frame[::_PIXEL_STRIDE, ::_PIXEL_STRIDE].copy())
        super().add(frame)

    @property
    def statistics(self) -> dict[str, list]:
        """Pixel statistics, 0 … 1, by channel, in LeRobot's shape (3, 1, 1)."""
        pixels = np.stack(self._pixels).reshape(-1, 3) / 255.0
        named = {"min": pixels.min(0), "max": pixels.max(0)}
        named |= {"mean": pixels.mean(0), "std": pixels.std(0)}
        shaped = {name: values.reshape(3, 1, 1).tolist() for name, values in named.items()}
        return {**shaped, "count": [len(self._pixels)]}
