"""History of the measured joints, to have them as they were when a camera took its frame."""

from bisect import bisect_left
from collections import deque

import numpy as np

_MEASUREMENTS = 200  # that are remembered: some seconds of them


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
