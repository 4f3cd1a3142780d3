"""MP4 encoder: frames to a video in memory, the same bytes every time.

Conversion, recording and rollouts each encode with settings of their own; those of conversion are
here. A key frame every 10th frame (half a second at 20 Hz), because training reads single frames at
random: on average 5.5 small frames are decoded for one wanted; docs/conversion.md weighs it. No
frame refers forward: decoding follows the order of time.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

Codec = Literal["mp4v", "h264"]
PIXEL_FORMAT = "yuv420p"

_QUANTIZER = 3  # of 1 (best) … 31; MPEG-4 part 2
_LAMBDA_PER_QUANTIZER = 118  # FFmpeg's FF_QP2LAMBDA


@dataclass(frozen=True)
class Encoding:
    """Settings that decide a video's bytes."""

    encoder: str  # FFmpeg's name
    options: Mapping[str, str]
    key_frame_interval: int
    bit_exact: bool = False  # no library version in the container, so the same with another one

    def described(self) -> dict[str, str | int]:
        """Describe the settings, for a dataset's record of how it was made."""
        described = {
            "encoder": self.encoder,
            **self.options,
            "key_frame_interval": self.key_frame_interval,
        }
        return described | {"threads": 1} if self.bit_exact else described


ENCODINGS: dict[Codec, Encoding] = {
    "mp4v": Encoding(
        "mpeg4",
        {"flags": "+qscale+bitexact", "global_quality": str(_QUANTIZER * _LAMBDA_PER_QUANTIZER)},
        key_frame_interval=10,
        bit_exact=True,
    ),
    "h264": Encoding(
        "libx264",
        {"preset": "veryfast", "crf": "20", "sc_threshold": "0", "flags": "+bitexact+cgop"},
        key_frame_interval=10,
        bit_exact=True,
    ),
}


class Mp4Encoder:
    """Encodes frames in memory, frame by frame; all are as large as the first one.

    with Mp4Encoder(ENCODINGS["h264"], 20) as encoder:
        encoder.add(frame)
    encoder.video
    """

    def __init__(self, encoding: Encoding, fps: Fraction | int) -> None:
        self._file = io.BytesIO()
        flags = {"fflags": "+bitexact"} if encoding.bit_exact else {}
        self._container = av.open(self._file, "w", format="mp4", options=flags)
        stream = self._container.add_stream(
            encoding.encoder, rate=fps, options=dict(encoding.options)
        )
        assert isinstance(stream, VideoStream), f"{encoding.encoder} encodes video"
        stream.pix_fmt = PIXEL_FORMAT
        stream.gop_size = encoding.key_frame_interval
        stream.max_b_frames = 0
        # one worker per core is faster, and more threads make the bytes depend on the machine
        stream.codec_context.thread_count = 1
        self._stream, self._tick = stream, 1 / Fraction(fps)
        stream.codec_context.time_base = self._tick
        self.count = 0

    def __enter__(self) -> "Mp4Encoder":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def add(self, frame: np.ndarray) -> None:
        """Encode the next frame: (H, W, 3) uint8 RGB, of even size."""
        self.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))

    def encode(self, frame: av.VideoFrame) -> None:
        """Encode the next frame, which is PyAV's already; its time and type are set anew."""
        if self.count == 0:
            self._stream.width, self._stream.height = frame.width, frame.height
        frame.pts, frame.time_base = self.count, self._tick
        frame.pict_type = PictureType.NONE  # the source's frame type must not force this encoder's
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    @property
    def video(self) -> bytes:
        """The complete mp4, once the encoder is closed."""
        return self._file.getvalue()


def encode_video(
    frames: Iterable[av.VideoFrame], encoding: Encoding, fps: Fraction
) -> tuple[bytes, int]:
    """Encode all frames; return the mp4's bytes and the number of frames."""
    with Mp4Encoder(encoding, fps) as encoder:
        for frame in frames:
            encoder.encode(frame)
    return encoder.video, encoder.count


def can_encode(size: int, fps: Fraction, codec: Codec) -> bool:
    """Try one frame: an encoder refuses sizes and rates that its format cannot express."""
    try:
        encode_video([av.VideoFrame(size, size, PIXEL_FORMAT)], ENCODINGS[codec], fps)
    except (FFmpegError, ValueError, OverflowError):
        return False
    return True
