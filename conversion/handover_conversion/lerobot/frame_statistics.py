"""An episode's camera frames as LeRobot keeps them: an mp4, and statistics of some of its pixels.

A key frame every 2nd frame and, for AV1, quality 30 are lerobot's defaults
(lerobot/datasets/video_utils.py, encode_video_frames), made for reading single frames at random.
"""

import io
import os
from fractions import Fraction
from types import TracebackType
from typing import Literal, cast

import av
import numpy as np

RecordingCodec = Literal["h264", "av1"]
PIXEL_FORMAT = "yuv420p"
KEY_FRAME_INTERVAL = 2

_ENCODERS: dict[RecordingCodec, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "18"}),
    "av1": ("libsvtav1", {"preset": "8", "crf": "30", "svtav1-params": "lp=1"}),
}

# lerobot looks at 100 frames of an episode of up to 464, at 1 pixel in 4 along each side
# (lerobot/datasets/compute_stats.py)
_SAMPLED_FRAMES = 100
_PIXEL_STRIDE = 4


def encoder_settings(codec: RecordingCodec) -> dict[str, str | int]:
    """Name what decides the video's bytes, for the dataset's record of how it was made."""
    encoder, options = _ENCODERS[codec]
    return {"encoder": encoder, **options, "key_frame_interval": KEY_FRAME_INTERVAL}


class VideoRecorder:
    """Encodes one episode's frames in memory, frame by frame.

    with VideoRecorder("h264", fps=50, height=480, width=640, length=400) as recorder:
        recorder.add(frame)  # 400 times
    recorder.video, recorder.statistics
    """

    def __init__(
        self, codec: RecordingCodec, fps: int, height: int, width: int, length: int
    ) -> None:
        """Expect `length` frames of (height, width, 3) uint8 RGB."""
        encoder, options = _ENCODERS[codec]
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; else its settings, every episode
        self._shape = (height, width, 3)
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4")
        self._stream = cast(
            av.VideoStream, self._container.add_stream(encoder, rate=fps, options=options)
        )
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXEL_FORMAT
        self._stream.gop_size = KEY_FRAME_INTERVAL
        self._stream.max_b_frames = 0
        self._stream.codec_context.thread_count = 1  # one worker per core is faster
        self._tick = Fraction(1, fps)
        self._stream.codec_context.time_base = self._tick
        samples = min(_SAMPLED_FRAMES, length)
        self._sampled = set(np.linspace(0, length - 1, samples).round().astype(int).tolist())
        self._pixels: list[np.ndarray] = []
        self._count = 0

    def __enter__(self) -> "VideoRecorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def add(self, frame: np.ndarray) -> None:
        """Encode the next frame. Raises ValueError for another shape or dtype."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"expected {self._shape} uint8, got {frame.shape} {frame.dtype}")
        if self._count in self._sampled:
            self._pixels.append(frame[::_PIXEL_STRIDE, ::_PIXEL_STRIDE].copy())
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = self._count, self._tick
        self._container.mux(self._stream.encode(picture))
        self._count += 1

    @property
    def video(self) -> bytes:
        """The whole mp4, once the recorder is closed."""
        return self._file.getvalue()

    @property
    def statistics(self) -> dict[str, list]:
        """Describe the pixels, 0 … 1, by channel, in LeRobot's shape (3, 1, 1)."""
        pixels = np.stack(self._pixels).reshape(-1, 3) / 255.0
        named = {"min": pixels.min(0), "max": pixels.max(0)}
        named |= {"mean": pixels.mean(0), "std": pixels.std(0)}
        shaped = {name: values.reshape(3, 1, 1).tolist() for name, values in named.items()}
        return {**shaped, "count": [len(self._pixels)]}
