"""Decoder of selected frames of an episode's video, which decodes no more than they need.

A video is cut at its key frames into groups. A group without a wanted frame is skipped, and so are
the packets of a group after its last wanted frame: nothing refers to them. If groups turn out to
refer to each other (open groups), the video is decoded from its start instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from handover_conversion.locations import is_lfs_pointer
from handover_conversion.video.frame_index import (
    FrameCountError,
    FrameIndex,
    RateClock,
    VideoError,
)


@dataclass(frozen=True)
class VideoSpan:
    """An episode's part of a video file: `length` frames from `from_s` seconds on."""

    path: Path
    length: int
    fps: float
    height_width: tuple[int, int] | None = None  # of the frames; None: any
    from_s: float = 0.0
    shared: bool = False  # other episodes are in the same file
    to_s: float | None = None  # where the part ends in a shared file; None: by length and fps

    def open(self) -> "OpenVideo":
        """Count the span's frames, by the file's own times. Raises VideoError."""
        return OpenVideo(self, index_video(self))


@dataclass(frozen=True)
class OpenVideo:
    """A video whose frames are counted: its k-th frame is the recording's k-th step.

    So a container of 29.97 Hz or of a variable rate has one frame per row, whatever its clock says.
    """

    span: VideoSpan
    index: FrameIndex

    @property
    def count(self) -> int:
        return len(self.index)

    def read(self, rows: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the frames of ascending rows: (row, frame), each once. Raises VideoError."""
        return read_video(self.span, rows, count_all=False, index=self.index)


@dataclass
class _Group:
    """A key frame and the packets that follow it, in decoding order, with their rows."""

    packets: list[av.Packet] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def is_open(self) -> bool:
        return any(row < self.rows[0] for row in self.rows)

    def needed(self, wanted: set[int]) -> list[av.Packet]:
        last = max((i for i, row in enumerate(self.rows) if row in wanted), default=-1)
        return self.packets[: last + 1]


class _NotIndependent(Exception):
    """A group cannot be decoded by itself."""


def read_video(
    span: VideoSpan, rows: np.ndarray, count_all: bool = True, index: FrameIndex | None = None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the frames of the given rows: ascending (row, frame), each row once.

    `rows` are ascending and below `span.length`. With `count_all` the span's frames are counted
    first, so that a video with fewer or more frames than rows is found; `index` is that count if
    it was made before. Without either, frames are found by the rate. Raises VideoError.
    """
    if index is None and count_all:
        index = index_video(span)
        if len(index) != span.length:  # too many are as bad: which ones belong to the rows?
            raise FrameCountError(len(index), span.length)
    check_video_file(span.path)
    waiting = sorted(rows.tolist(), reverse=True)  # yielded rows are popped off its end
    try:
        try:
            yield from _read(span, waiting, index, by_group=True)
        except (FFmpegError, _NotIndependent):
            yield from _read(span, waiting, index, by_group=False)
    except _NotIndependent:
        raise VideoError(f"frame {waiting[-1]} cannot be decoded") from None
    except (FFmpegError, OSError) as error:
        raise VideoError(f"the video cannot be read: {error.strerror or error}") from error


def index_video(span: VideoSpan) -> FrameIndex:
    """Find the times of the span's frames, decoding none. Raises VideoError."""
    check_video_file(span.path)
    try:
        with av.open(str(span.path), metadata_errors="replace") as container:
            stream = _stream_of(container)
            index = FrameIndex.of(container, stream, span)
            _check_stream(stream, span, index)
            return index
    except (FFmpegError, OSError) as error:
        raise VideoError(f"the video cannot be read: {error.strerror or error}") from error


def check_video_file(path: Path) -> None:
    """Raise VideoError where no file is, or only the pointer to one."""
    if not path.is_file():
        raise VideoError("the file is missing")
    if is_lfs_pointer(path):
        raise VideoError("the file is a Git LFS pointer: run git lfs pull in the repository")


def _stream_of(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise VideoError("the file holds no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise VideoError("the video cannot be read: its index is cut short, or its codec unknown")
    return stream


def _read(
    span: VideoSpan, waiting: list[int], index: FrameIndex | None, by_group: bool
) -> Iterator[tuple[int, av.VideoFrame]]:
    with av.open(str(span.path), metadata_errors="replace") as container:
        stream = _stream_of(container)
        if index is None:
            _check_stream(stream, span, None)
        clock = index or RateClock(stream, span)
        if by_group and waiting and clock.pts(waiting[-1]) > (stream.start_time or 0):
            container.seek(clock.pts(waiting[-1]), stream=stream, backward=True)
        groups = _groups(container, stream, clock)
        packets = needed_packets(groups, set(waiting), by_group)
        yield from _decode(stream.codec_context, packets, clock, waiting, span)
        if waiting:
            raise _NotIndependent


def _check_stream(stream: VideoStream, span: VideoSpan, index: FrameIndex | None) -> None:
    rate, size = stream.average_rate, (stream.height, stream.width)
    steady = index is None or index.is_steady
    if rate is not None and steady and abs(float(rate) - span.fps) > 0.01 * span.fps:
        raise VideoError(
            f"the video has {float(rate):g} frames/s, expected the dataset's {span.fps:g}"
        )
    # a quarter turn, which only decoding shows, swaps height and width
    if span.height_width not in (None, size, size[::-1]):
        raise _wrong_size(size, span)


def _wrong_size(size: tuple[int, int], span: VideoSpan) -> VideoError:
    return VideoError(
        f"frames are (height, width) {size}, expected {span.height_width} as in info.json"
    )


def _decode(
    decoder: VideoCodecContext,
    packets: Iterator[av.Packet | None],
    clock: FrameIndex | RateClock,
    waiting: list[int],
    span: VideoSpan,
) -> Iterator[tuple[int, av.VideoFrame]]:
    decoder.thread_count = 1  # one process per core is faster than threads within a video
    decoder.options = {"err_detect": "explode"}  # a broken frame is an error, never a gray guess
    checked = False
    for packet in packets:
        for frame in decoder.decode(packet):
            row = clock.row(frame.pts)
            if not checked:
                _check_size(frame, span)
                checked = True
            if waiting and row == waiting[-1]:
                if frame.is_corrupt:
                    raise VideoError(f"frame {row} is corrupt")
                waiting.pop()
                yield row, frame
        if not waiting:
            return


def _check_size(frame: av.VideoFrame, span: VideoSpan) -> None:
    """Compare a frame, as it is stored or as it is turned to be shown, with info.json."""
    stored = (frame.height, frame.width)
    shown = (frame.width, frame.height) if frame.rotation % 180 else stored
    if span.height_width not in (None, stored, shown):
        raise _wrong_size(shown, span)


def needed_packets(
    groups: Iterator[_Group], wanted: set[int], by_group: bool
) -> Iterator[av.Packet | None]:
    """Choose the packets that the wanted rows need; the final None flushes the decoder."""
    for place, group in enumerate(groups):
        if by_group and place > 0 and group.is_open():
            raise _NotIndependent
        yield from group.needed(wanted) if by_group else group.packets
    yield None


def _groups(
    container: InputContainer, stream: VideoStream, clock: FrameIndex | RateClock
) -> Iterator[_Group]:
    """Cut the span's packets at the key frames."""
    group: _Group | None = None
    is_first = False  # its frames from before the key frame belong to another span
    for packet in container.demux(stream):
        if packet.pts is None:  # the demuxer's own end mark
            continue
        row = clock.row(packet.pts)
        if packet.is_keyframe:
            if group is not None:
                yield group
            if clock.is_past(row):
                return
            is_first, group = group is None, _Group()
        elif group is None or (is_first and row < group.rows[0]):
            continue
        group.packets.append(packet)
        group.rows.append(row)
    if group is not None:
        yield group
