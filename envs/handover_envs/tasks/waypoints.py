"""Waypoints of a gripper, its position at a time, and the smooth motion between them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Side = Literal["left", "right"]
Point = tuple[float, float, float]  # x, y, z in m


@dataclass(frozen=True)
class Waypoint:
    """A grasp point at a time of the episode.

    `position` is in m in the world; `pitch_rad` tips the gripper down from the horizontal,
    `roll_rad` turns it about its own axis and `yaw_rad` about the vertical, `gripper` goes from 0
    (closed) to 1 (open). Both grippers point at the other arm's base when all three are 0. The
    hand arrives along a straight line or, if `straight` is off, by turning its joints together,
    smoothly. `sets_off` and `arrives` are its speed at the leg's beginning and end, as shares of
    the leg's mean speed: from rest to rest unless given, at constant speed if both are 1.
    """

    time_s: float
    position: Point
    pitch_rad: float
    gripper: float
    roll_rad: float = 0.0
    straight: bool = True
    sets_off: float = 0.0
    arrives: float = 0.0
    yaw_rad: float = 0.0

    def until(self, time_s: float, **changes: Any) -> "Waypoint":
        """Make the gripper's next waypoint, at a time; what is not named stays as it is."""
        return replace(self, time_s=time_s, **changes)

    def after(self, seconds: float, position: Point | None = None, **changes: Any) -> "Waypoint":
        """Make the gripper's next waypoint, some seconds later."""
        return self.until(self.time_s + seconds, position=position or self.position, **changes)


def moved(point: Point, offset: Point) -> Point:
    """Return the point at an offset from another."""
    x, y, z = np.add(point, offset).tolist()
    return x, y, z


def way(start: Point, end: Point) -> float:
    """Return the distance of two points, m."""
    return float(np.linalg.norm(np.subtract(end, start)))


def beside(point: Point, start: Point, end: Point) -> float:
    """Return the distance of a point from the straight line between two others, m."""
    line, there = np.subtract(end, start), np.subtract(point, start)
    share = np.clip(there @ line / (line @ line), 0, 1)
    return float(np.linalg.norm(there - share * line))


def progress(path: Sequence[Waypoint], time_s: float) -> tuple[int, float]:
    """Return the leg of a path at a time, and the share of it behind the hand: 0 … 1.

    Leg k goes from path[k] to path[k + 1]. The share is the polynomial of fifth degree without
    acceleration at either end (minimum jerk, Flash and Hogan 1985, where both speeds are 0). The
    hand rests before the first and after the last waypoint.
    """
    leg = bisect_right([place.time_s for place in path], time_s) - 1
    if leg < 0:
        return 0, 0.0
    if leg >= len(path) - 1:
        return len(path) - 2, 1.0
    start_s, end_s = path[leg].time_s, path[leg + 1].time_s
    passed = (time_s - start_s) / (end_s - start_s)
    a, b = path[leg + 1].sets_off, path[leg + 1].arrives
    cubic, quartic, quintic = 10 - 6 * a - 4 * b, 15 - 8 * a - 7 * b, 6 - 3 * a - 3 * b
    return leg, a * passed + passed**3 * (cubic - quartic * passed + quintic * passed**2)


def blend(start: Waypoint, end: Waypoint, share: float) -> Waypoint:
    """Return the waypoint at a share of the straight line between two."""
    numbers = (1 - share) * _numbers(start) + share * _numbers(end)
    time_s, x, y, z, pitch, gripper, roll, yaw = numbers.tolist()
    return Waypoint(time_s, (x, y, z), pitch, gripper, roll, yaw_rad=yaw)


def rotation(
    pitch_rad: float, roll_rad: float, faces_left: bool, yaw_rad: float = 0.0
) -> np.ndarray:
    """Build a gripper's axes: (3, 3), the columns are its x (out of the hand), y, z."""
    cos_p, cos_r, cos_y = np.cos([pitch_rad, roll_rad, yaw_rad]).tolist()
    sin_p, sin_r, sin_y = np.sin([pitch_rad, roll_rad, yaw_rad]).tolist()
    pitch = np.array([[cos_p, 0, sin_p], [0, 1, 0], [-sin_p, 0, cos_p]])
    roll = np.array([[1, 0, 0], [0, cos_r, -sin_r], [0, sin_r, cos_r]])
    yaw = np.array([[cos_y, -sin_y, 0], [sin_y, cos_y, 0], [0, 0, 1]])
    turn = np.diag([-1.0, -1.0, 1.0]) if faces_left else np.eye(3)
    return turn @ yaw @ pitch @ roll


def angles_of(axes: np.ndarray, faces_left: bool) -> tuple[float, float, float]:
    """Return pitch, roll and yaw (rad) of a gripper's axes, (3, 3): what `rotation` builds from.

    Pitch is within a right angle of the horizontal; straight down, roll and yaw are one turn.
    """
    turned = np.diag([-1.0, -1.0, 1.0]) @ axes if faces_left else axes
    pitch = np.arcsin(np.clip(-turned[2, 0], -1, 1))
    roll = np.arctan2(turned[2, 1], turned[2, 2])
    yaw = np.arctan2(turned[1, 0], turned[0, 0])
    return float(pitch), float(roll), float(yaw)


def _numbers(place: Waypoint) -> np.ndarray:
    angles = (place.pitch_rad, place.gripper, place.roll_rad, place.yaw_rad)
    return np.array([place.time_s, *place.position, *angles])
