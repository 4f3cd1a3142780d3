"""Waypoints of the transfer task: the right hand lifts the cube, the left takes it sideways."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handover_envs.experts.inverse_kinematics import Side
from handover_envs.experts.variation import Variation
from handover_envs.experts.waypoints import Point, Waypoint, moved

_GRASP_Z = 0.025  # m; any lower, the fingers would press on the table and close late
_ON_EDGE_RAD = np.pi / 2  # the left hand's fingers close from above and below
# Wide enough for the cube, and narrow enough to pass under the right hand's palm.
_LEFT_OPENING = 0.8
_SQUEEZE = 0.2  # a gripper that holds the cube stops at 0.6
_RISE_M_S = 0.1  # speed of both hands' rise while one closes and the other opens


def plan_transfer(
    cube: np.ndarray,
    home: dict[Side, Waypoint],
    vary: Variation,
    miss: Mapping[Side, Point],
) -> dict[Side, list[Waypoint]]:
    """Lay out both grippers' paths for a cube at (x, y, z, quaternion).

    At least one hand moves at every moment until the end: so a single observation shows how far the
    transfer is, even while a gripper squeezes and its state is at rest.
    miss: offset of each hand's grasp from its target, m; the rest of the path ignores it
    """
    right = _pick_and_show(cube, home["right"], vary, miss["right"])
    left = _take(home["left"], right, vary, miss["left"])
    showing = right[-1].until(left[-1].time_s)
    closing_s, opening_s = vary.seconds(0.5), vary.seconds(0.4)
    held, taken = _rise(showing, closing_s), _rise(left[-1], closing_s, gripper=_SQUEEZE)
    released, owned = _rise(held, opening_s, gripper=1.0), _rise(taken, opening_s)
    leaving_s = vary.seconds(0.8)
    away = released.after(leaving_s, moved(released.position, (0.12, 0.0, 0.06)), steady=False)
    aside = owned.after(leaving_s, moved(owned.position, (-0.08, 0.0, 0.0)), steady=False)
    return {
        "right": [*right, showing, held, released, away],
        "left": [*left, taken, owned, aside],
    }


def _pick_and_show(
    cube: np.ndarray, home: Waypoint, vary: Variation, miss: Point
) -> list[Waypoint]:
    """Lift the cube to the middle, where the left hand takes it."""
    x, y = cube[:2].tolist()
    pitch = vary.degrees(68, 1)
    grasp = vary.point((x + 0.004, y, _GRASP_Z), (0.001, 0.001, 0.001))
    above = vary.point((grasp[0] + 0.03, grasp[1], 0.11), (0.003, 0.003, 0.004))
    shown = vary.point((0.0, 0.5, 0.20), (0.003, 0.003, 0.001))
    over = home.after(vary.seconds(1.3), above, pitch_rad=pitch, gripper=1.0, straight=False)
    down = over.after(vary.seconds(0.8), moved(grasp, miss), straight=True)
    closed = down.after(vary.seconds(0.5), gripper=_SQUEEZE)
    return [home, over, down, closed, closed.after(vary.seconds(1.4), shown)]


def _take(
    home: Waypoint, right: Sequence[Waypoint], vary: Variation, miss: Point
) -> list[Waypoint]:
    """Leave home as the right hand goes down, come up beside the shown cube, and around it."""
    over, shown = right[1], right[-1]
    pitch = vary.degrees(0, 1)
    beside = vary.near(shown.position, (-0.12, 0.0, 0.0), 0.003)
    take = moved(vary.near(shown.position, (-0.004, 0.0, -0.009), 0.001), miss)
    leaving = home.until(over.time_s)
    ready_s = shown.time_s - vary.seconds(0.3)
    ready = Waypoint(ready_s, beside, pitch, _LEFT_OPENING, _ON_EDGE_RAD, straight=False)
    around_s = shown.time_s + vary.seconds(0.4)
    return [home, leaving, ready, ready.until(around_s, position=take, straight=True)]


def _rise(place: Waypoint, seconds: float, **changes: Any) -> Waypoint:
    """Continue upward at constant speed."""
    higher = moved(place.position, (0.0, 0.0, _RISE_M_S * seconds))
    return place.after(seconds, higher, steady=True, **changes)
