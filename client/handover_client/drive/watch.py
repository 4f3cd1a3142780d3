"""Watch over what a robot measures: old joints, cameras that have stopped or show one picture."""

import zlib
from dataclasses import dataclass, field

from handover_client.drive.robots.interface import Reading

_STRIDE = 8  # pixels along each side of a frame that are looked at


@dataclass
class Watch:
    """Says why a reading is nothing to act on; empty words where it is."""

    stale_s: float
    frozen_s: float
    same_picture: bool  # also a camera whose pictures do not change: real ones have noise
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)  # checksum, since when

    def problem(self, reading: Reading, now_s: float) -> str:
        """Judge a reading at a time (time.monotonic, s)."""
        age_s = now_s - reading.time_s
        if not age_s <= self.stale_s:
            return f"old joints: of {age_s:.2f} s ago"
        for name, frame in reading.frames.items():
            since_s = frame.time_s
            if self.same_picture:
                picture = zlib.crc32(frame.image[::_STRIDE, ::_STRIDE].tobytes())
                checksum, first_s = self._seen.get(name, (None, 0.0))
                if picture != checksum:
                    first_s = frame.time_s
                self._seen[name] = picture, first_s
                since_s = first_s
            if not now_s - since_s <= self.frozen_s:
                return f"camera {name} is frozen: for {now_s - since_s:.2f} s"
        return ""
