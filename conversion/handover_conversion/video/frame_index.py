"""Times of a video's frames, in the order in which they are shown, read without decoding."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

from av.container import InputContainer
from av.video.stream import VideoStream

from handover_conversion.errors import DatasetError


class VideoError(DatasetError):
    """A video that is missing, broken, or different from what its dataset states."""


class FrameCountError(VideoError):
    """A video with another number of frames than its rows."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"the video has {found} frames, expected {expected}, one per row")
        self.found, self.expected = found, expected

    def __reduce__(self) -> tuple[type["FrameCountError"], tuple[int, int]]:
        return FrameCountError, (self.found, self.expected)


class _Span(Protocol):
    @property
    def fps(self) -> float: ...
    @property
    def length(self) -> int: ...
    @property
    def from_s(self) -> float: ...
    @property
    def to_s(self) -> float | None: ...
    @property
    def shared(self) -> bool: ...


@dataclass(frozen=True)
class FrameIndex:
    """The frames of an episode's part of a video; the k-th shown is the recording's k-th step."""

    times: tuple[int, ...]  # presentation times, ascending, in the stream's ticks
    ticks_per_row: float
    shared: bool  # frames before and behind belong to other episodes

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, span: _Span) -> "FrameIndex":
        """Read a part's frames off the container's packets. Raises VideoError."""
        if stream.time_base is None:
            raise VideoError("the video states no time base")
        tick_s, zero = float(stream.time_base), stream.start_time or 0
        ticks_per_row = 1 / span.fps / tick_s
        if not span.shared:
            times = sorted(_times(container, stream))
            return cls(tuple(times), ticks_per_row, shared=False)
        # half a frame early, so that no rounding of an offset loses a frame
        first = zero + span.from_s / tick_s - ticks_per_row / 2
        end = zero + _end_s(span) / tick_s - ticks_per_row / 2
        if first > zero:
            container.seek(max(zero, int(first)), stream=stream, backward=True)
        inside = [time for time in _times(container, stream, end) if first <= time < end]
        return cls(tuple(sorted(inside)), ticks_per_row, shared=True)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def is_steady(self) -> bool:
        """Whether all frames are as far apart, within a tenth of a row's time."""
        if len(self.times) < 3:
            return True
        steps = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        return max(steps) - min(steps) <= max(2, 0.1 * self.ticks_per_row)

    def row(self, pts: int | None) -> int:
        """Return the row of a frame; below 0 or behind the last for another episode's."""
        if pts is None:
            raise VideoError("the video has a frame without a time")
        if self.times and pts < self.times[0]:
            return min(-1, round((pts - self.times[0]) / self.ticks_per_row))
        return bisect_left(self.times, pts)

    def pts(self, row: int) -> int:
        """Return the time of a row's frame."""
        return self.times[row] if row < len(self.times) else self.times[-1] if self.times else 0

    def is_past(self, row: int) -> bool:
        """Whether a row is another episode's, behind this one."""
        return self.shared and row >= len(self.times)


class RateClock:
    """Rows by the video's times alone, where its frames have not been counted."""

    def __init__(self, stream: VideoStream, span: _Span) -> None:
        if stream.time_base is None:
            raise VideoError("the video states no time base")
        self._tick_s = float(stream.time_base)
        self._start_pts = stream.start_time or 0
        self._span = span

    def row(self, pts: int | None) -> int:
        if pts is None:
            raise VideoError("the video has a frame without a time")
        time_s = (pts - self._start_pts) * self._tick_s
        return round((time_s - self._span.from_s) * self._span.fps)

    def pts(self, row: int) -> int:
        time_s = self._span.from_s + row / self._span.fps
        return self._start_pts + round(time_s / self._tick_s)

    def is_past(self, row: int) -> bool:
        return self._span.shared and row >= self._span.length


def _end_s(span: _Span) -> float:
    """Where the part ends: as stated, if that is its length at the file's own rate.

    Editors leave other ends there, which players do not use either: length and rate decide then.
    """
    nominal = span.from_s + span.length / span.fps
    if span.to_s is None:
        return nominal
    fits = abs(span.to_s - nominal) * span.fps <= 0.011 * span.length + 0.5  # nan does not
    return span.to_s if fits else nominal


def _times(container: InputContainer, stream: VideoStream, end: float | None = None) -> list[int]:
    """List the times of the packets, up to the last that can be before `end`."""
    times = []
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        times.append(packet.pts)
        decoded = packet.pts if packet.dts is None else packet.dts
        if end is not None and decoded >= end:  # a later packet is shown no earlier
            break
    return times
