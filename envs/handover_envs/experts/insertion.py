"""Waypoints of the insertion task: each hand lifts its part, and the parts meet along x."""

from collections.abc import Mapping

import numpy as np

from handover_envs.experts.inverse_kinematics import Side
from handover_envs.experts.variation import Variation
from handover_envs.experts.waypoints import Point, Waypoint, moved

# Heights of the parts' centers on the table, m (sizes in bimanual_viperx_insertion.xml).
PEG_REST_Z = 0.01
SOCKET_REST_Z = 0.022
# The fingers reach 0.019 m past the grasp point: lower than this they would press on the table.
_GRASP_Z = 0.022

# The distance of each part's center from the middle, m. The peg's end meets the socket's pin at
# 0.05; less presses them together, even if a hand holds its part slightly off-center.
_APART, _INSIDE = 0.095, 0.040


def plan_insertion(
    peg: np.ndarray,
    socket: np.ndarray,
    home: dict[Side, Waypoint],
    vary: Variation,
    miss: Mapping[Side, Point],
) -> dict[Side, list[Waypoint]]:
    """Lay out both grippers' paths for a peg and a socket at (x, y, z, quaternion).

    miss: offset of each hand's grasp from its target, m; the rest of the path ignores it
    """
    peg_at = (float(peg[0]), float(peg[1]), PEG_REST_Z)
    socket_at = (float(socket[0]), float(socket[1]), SOCKET_REST_Z)
    right = _pick(peg_at, home["right"], 1, vary, miss["right"])
    left = _pick(socket_at, home["left"], -1, vary, miss["left"])
    middle = vary.point((0.0, 0.5, 0.17), (0.004, 0.004, 0.004))
    facing_s = max(right[-1].time_s, left[-1].time_s) + vary.seconds(1.5)
    push_s = facing_s + vary.seconds(0.3)
    inside_s = push_s + vary.seconds(1.3)
    hands = ((right, peg_at, 1, miss["right"]), (left, socket_at, -1, miss["left"]))
    for path, part, sign, off in hands:
        held = path[-1]
        thought_at = np.subtract(held.position, off)
        apart = _hand_at(middle, sign * _APART, thought_at, part)
        inside = _hand_at(middle, sign * _INSIDE, thought_at, part)
        path.append(held.until(facing_s, position=apart))
        path.append(path[-1].until(push_s))
        path.append(path[-1].until(inside_s, position=inside))
    return {"left": left, "right": right}


def _pick(part: Point, home: Waypoint, sign: int, vary: Variation, miss: Point) -> list[Waypoint]:
    """Move above a part, down to it, and close; `sign` is the side of x on which the arm stands."""
    pitch = vary.degrees(72, 2)
    grasp = vary.point((part[0], part[1], _GRASP_Z), (0.002, 0.001, 0.001))
    above = vary.point((grasp[0] + sign * 0.03, grasp[1], 0.10), (0.005, 0.005, 0.008))
    over = home.after(vary.seconds(1.4), above, pitch_rad=pitch, gripper=1.0, straight=False)
    down = over.after(vary.seconds(0.8), moved(grasp, miss), straight=True)
    return [home, over, down, down.after(vary.seconds(0.5), gripper=0.0)]


def _hand_at(middle: Point, distance: float, held_at: np.ndarray, part: Point) -> Point:
    """Return the hand's position that puts its part's center at a distance along x."""
    offset = np.subtract(held_at, part)
    x, y, z = np.add(middle, offset).tolist()
    return x + distance, y, z
