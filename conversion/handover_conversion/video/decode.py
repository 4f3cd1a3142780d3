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

from handover_conversion.errors import DatasetError
from handover_conversion.locations import is_lfs_pointer


@dataclass(frozen=True)
class VideoSpan:
    """An episode's part of a video file: `length` frames from `from_s` seconds on."""

    path: Path
    length: int
    fps: float
    height_width: tuple[int, int] | None = None  # of the frames; None: any
    from_s: float = 0.0
    shared: bool = False  # other episodes are in the same file


class VideoError(DatasetError):
    """A video that is missing, broken, or different from what its dataset states."""


class FrameCountError(VideoError):
    """A video with another number of frames than its rows."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"the video has {found} frames, expected {expected}, one per row")
        self.found, self.expected = found, expected

    def __reduce__(self) -> tuple[type["FrameCountError"], tuple[int, int]]:
        return FrameCountError, (self.found, self.expected)


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
    span: VideoSpan, rows: np.ndarray, count_all: bool = True
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode the frames of the given rows: ascending (row, frame), each row once.

    `rows` are ascending and below `span.length`. With `count_all` every packet of the span is
    counted, decoded or not, so that a video with fewer frames than rows is found wherever they
    are missing; without, reading ends with the last wanted frame. Raises VideoError.
    """
    if not span.path.is_file():
        raise VideoError("the file is missing")
    if is_lfs_pointer(span.path):
        raise VideoError("the file is a Git LFS pointer: run git lfs pull in the repository")
    waiting = sorted(rows.tolist(), reverse=True)  # yielded rows are popped off its end
    try:
        try:
            yield from _read(span, waiting, count_all, by_group=True)
        except (FFmpegError, _NotIndependent):
            yield from _read(span, waiting, count_all, by_group=False)
    except _NotIndependent:
        raise VideoError(f"frame {waiting[-1]} cannot be decoded") from None
    except (FFmpegError, OSError) as error:
        raise VideoError(f"the video cannot be read: {error.strerror or error}") from error


def _read(
    span: VideoSpan, waiting: list[int], count_all: bool, by_group: bool
) -> Iterator[tuple[int, av.VideoFrame]]:
    with av.open(str(span.path), metadata_errors="replace") as container:
        if not container.streams.video:
            raise VideoError("the file holds no video stream")
        stream = container.streams.video[0]
        _check_stream(stream, span)
        clock = _Clock(stream, span)
        first = 0 if count_all or not waiting else waiting[-1]
        if by_group and clock.pts(first) > clock.start_pts:
            container.seek(clock.pts(first), stream=stream, backward=True)
        seen: set[int] = set()
        groups = _groups(container, stream, clock, seen)
        packets = needed_packets(groups, set(waiting), by_group)
        yield from _decode(stream.codec_context, packets, clock, waiting)
        if count_all:
            for _ in groups:  # count the rest
                pass
            if len(seen) != span.length:  # too many are as bad: which ones belong to the rows?
                raise FrameCountError(len(seen), span.length)
        if waiting:
            raise _NotIndependent


def _check_stream(stream: VideoStream, span: VideoSpan) -> None:
    if stream.codec_context is None:
        raise VideoError("the video cannot be read: its index is cut short, or its codec unknown")
    rate, size = stream.average_rate, (stream.height, stream.width)
    if rate is not None and abs(float(rate) - span.fps) > 0.01 * span.fps:
        raise VideoError(
            f"the video has {float(rate):g} frames/s, expected the dataset's {span.fps:g}"
        )
    if span.height_width not in (None, size):
        raise VideoError(
            f"frames are (height, width) {size}, expected {span.height_width} as in info.json"
        )


def _decode(
    decoder: VideoCodecContext,
    packets: Iterator[av.Packet | None],
    clock: "_Clock",
    waiting: list[int],
) -> Iterator[tuple[int, av.VideoFrame]]:
    decoder.thread_count = 1  # one process per core is faster than threads within a video
    decoder.options = {"err_detect": "explode"}  # a broken frame is an error, never a gray guess
    for packet in packets:
        for frame in decoder.decode(packet):
            row = clock.row(frame.pts)
            if waiting and row == waiting[-1]:
                if frame.is_corrupt:
                    raise VideoError(f"frame {row} is corrupt")
                waiting.pop()
                yield row, frame
        if not waiting:
            return


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
    container: InputContainer,
    stream: VideoStream,
    clock: "_Clock",
    seen: set[int],
) -> Iterator[_Group]:
    """Cut the span's packets at the key frames; `seen` collects the rows that exist."""
    group: _Group | None = None
    is_first = False  # its frames from before the key frame belong to another span
    for packet in container.demux(stream):
        if packet.pts is None:  # the demuxer's own end mark
            continue
        row = clock.row(packet.pts)
        if clock.holds(row):
            seen.add(row)
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


class _Clock:
    """Converts presentation times to the span's rows and back."""

    def __init__(self, stream: VideoStream, span: VideoSpan) -> None:
        if stream.time_base is None:
            raise VideoError("the video states no time base")
        self._tick_s = float(stream.time_base)
        self.start_pts = stream.start_time or 0
        self._span = span

    def row(self, pts: int | None) -> int:
        if pts is None:
            raise VideoError("the video has a frame without a time")
        time_s = (pts - self.start_pts) * self._tick_s
        return round((time_s - self._span.from_s) * self._span.fps)

    def pts(self, row: int) -> int:
        time_s = self._span.from_s + row / self._span.fps
        return self.start_pts + round(time_s / self._tick_s)

    def holds(self, row: int) -> bool:
        """Whether a frame belongs to the span; an unshared file holds only its own."""
        return not self._span.shared or 0 <= row < self._span.length

    def is_past(self, row: int) -> bool:
        return self._span.shared and row >= self._span.length
