"""Joints and frames of one moment: a frame is there later than the joints of its time."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from handover_client.drive.robots.interface import CameraFrame

_MEASUREMENTS = 200  # that are remembered: some seconds of them
_LONGEST_S = 1.0  # that a control step waits for the next frame: a camera may have stopped


class JointHistory:
    """Joints measured in the last seconds, by their times."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=_MEASUREMENTS)
        self._joints: deque[np.ndarray] = deque(maxlen=_MEASUREMENTS)

    def add(self, time_s: float, joints: np.ndarray) -> None:
        """Remember a measurement, (D,); one that was there before changes nothing."""
        if not self._times_s or time_s > self._times_s[-1]:
            self._times_s.append(time_s)
            self._joints.append(joints)

    def at(self, time_s: float) -> tuple[np.ndarray, float]:
        """Return the joints of a time, (D,), linear between two measurements, and that time.

        Before the first measurement and after the last they are that one's, and so is the time.
        """
        after = bisect_left(self._times_s, time_s)
        if after in (0, len(self._times_s)):
            nearest = max(0, min(after, len(self._times_s) - 1))
            return self._joints[nearest], self._times_s[nearest]
        early_s, late_s = self._times_s[after - 1], self._times_s[after]
        share = (time_s - early_s) / (late_s - early_s)
        return (1 - share) * self._joints[after - 1] + share * self._joints[after], time_s


class NearestFrames:
    """For each control step, each camera's frame that was taken nearest to the step's joints."""

    def __init__(self, cameras: Iterable[str]) -> None:
        self._frames: dict[str, deque[CameraFrame]] = {name: deque() for name in cameras}
        self._undecided: deque[float] = deque()  # times of the joints, s

    def add(
        self, time_s: float, frames: Mapping[str, CameraFrame]
    ) -> Iterator[dict[str, CameraFrame]]:
        """Add a control step: its joints' time, and the newest frames there were by then.

        Yields {camera: frame} of each step that is decided now, in their order: of a camera there
        is a frame of the step's time or later, or none came for a second.
        """
        for name, frame in frames.items():
            known = self._frames[name]
            if not known or frame.time_s > known[-1].time_s:
                known.append(frame)
        self._undecided.append(time_s)
        while self._undecided and self._is_decided(self._undecided[0], time_s):
            yield self._decide()

    def rest(self) -> Iterator[dict[str, CameraFrame]]:
        """Yield {camera: frame} of every step that is left, with the frames that there are."""
        while self._undecided:
            yield self._decide()

    def _is_decided(self, time_s: float, now_s: float) -> bool:
        newest = (
            min(frames[-1].time_s for frames in self._frames.values()) if self._frames else now_s
        )
        return newest >= time_s or now_s - time_s > _LONGEST_S

    def _decide(self) -> dict[str, CameraFrame]:
        time_s, nearest = self._undecided.popleft(), {}
        for name, frames in self._frames.items():
            while len(frames) > 1 and abs(frames[1].time_s - time_s) <= abs(
                frames[0].time_s - time_s
            ):
                frames.popleft()  # a later step's nearest frame is no earlier one
            nearest[name] = frames[0]
        return nearest
