"""Writing an episode's square frames as an mp4, in memory, the same bytes every time.

A key frame every 10th frame (half a second at 20 Hz), because training reads single frames at
random: on average 5.5 small frames are decoded for one wanted; docs/conversion.md weighs it. No
frame refers forward: decoding follows the order of time.
"""

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal

import av
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.stream import VideoStream

Codec = Literal["mp4v", "h264"]
KEY_FRAME_INTERVAL = 10

_QUANTISER = 3  # of 1 (best) … 31; MPEG-4 part 2
_LAMBDA_PER_QUANTISER = 118  # FFmpeg's FF_QP2LAMBDA
_ENCODERS: dict[Codec, tuple[str, dict[str, str]]] = {
    "mp4v": (
        "mpeg4",
        {"flags": "+qscale+bitexact", "global_quality": str(_QUANTISER * _LAMBDA_PER_QUANTISER)},
    ),
    "h264": (
        "libx264",
        {"preset": "veryfast", "crf": "20", "sc_threshold": "0", "flags": "+bitexact+cgop"},
    ),
}


def encoder_settings(codec: Codec) -> dict[str, str | int]:
    """Name everything that decides the bytes, for the dataset's record of how it was made."""
    encoder, options = _ENCODERS[codec]
    return {"encoder": encoder, **options, "key_frame_interval": KEY_FRAME_INTERVAL, "threads": 1}


def can_encode(size: int, fps: Fraction, codec: Codec) -> bool:
    """Try one frame: an encoder takes no size and no rate beyond what its format can state."""
    try:
        encode_video([av.VideoFrame(size, size, "yuv420p")], size, fps, codec)
    except (FFmpegError, ValueError, OverflowError):
        return False
    return True


def encode_video(
    frames: Iterable[av.VideoFrame], size: int, fps: Fraction, codec: Codec
) -> tuple[bytes, int]:
    """Encode `size` × `size` yuv420p frames at `fps`; give the mp4's bytes and the frame count."""
    encoder, options = _ENCODERS[codec]
    file, count = io.BytesIO(), 0
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(encoder, rate=fps, options=options)
        assert isinstance(stream, VideoStream), "both encoders are of videos"
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        stream.gop_size = KEY_FRAME_INTERVAL
        stream.max_b_frames = 0
        stream.codec_context.thread_count = 1  # more would make the bytes depend on the machine
        stream.codec_context.time_base = 1 / fps
        for frame in frames:
            frame.pts, frame.time_base = count, 1 / fps
            frame.pict_type = (
                PictureType.NONE
            )  # what the source's frame was is no order for this encoder
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return file.getvalue(), count
