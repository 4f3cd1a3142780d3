"""Insertion: each hand lifts its part, and the parts meet along x. As in gym-aloha."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from handover_envs.tasks.task import (
    LEFT_FINGERS,
    RIGHT_FINGERS,
    Contacts,
    Situation,
    Task,
    gym_aloha_scene,
    touch,
)
from handover_envs.tasks.variation import Variation
from handover_envs.tasks.waypoints import (
    Point,
    Side,
    Waypoint,
    angles_of,
    beside,
    moved,
    rotation,
    way,
)

PEG, PIN, TABLE = ("red_peg",), ("pin",), ("table",)
SOCKET = tuple(f"socket-{wall}" for wall in (1, 2, 3, 4))

# Heights of the parts' centers on the table, m (sizes in bimanual_viperx_insertion.xml).
PEG_REST_Z = 0.01
SOCKET_REST_Z = 0.022
# The fingers reach 0.019 m past the grasp point: lower than this they would press on the table.
_GRASP_Z = 0.022

# Where the parts meet, m: nearly the same in every episode, for no observation tells another.
_MIDDLE, _MIDDLE_SPREAD = (0.0, 0.5, 0.17), (0.001, 0.001, 0.001)
# The distance of each part's center from there, m. The ends meet at 0.06, on one line since 0.115.
# The peg's end meets the socket's pin at 0.05; less presses them together, even if a hand holds its
# part slightly off-center.
_APART, _INSIDE = 0.115, 0.040

_REACH_M_S, _REACH_RAD_S, _DOWN_M_S, _LIFT_M_S, _PUSH_M_S = 0.19, 1.05, 0.12, 0.15, 0.06
_CLOSING_S = 0.5  # from fully open to fully closed
_NEAR_M, _IN_LINE_M, _SHORT_M = 0.02, 0.004, 0.01
_LEVEL = np.cos(0.05 / 2)  # w of a part's quaternion that is tilted by less than 0.05 rad


def scene() -> str:
    """Return the path of gym-aloha's scene."""
    return gym_aloha_scene("bimanual_viperx_insertion.xml")


def start_poses(seed: int) -> np.ndarray:
    """Draw peg and socket as gym-aloha's reset(seed) does: (2, 7) float64."""
    from gym_aloha.utils import sample_insertion_pose

    return np.stack(sample_insertion_pose(seed))


def reward(contacts: Contacts) -> int:
    """Return gym-aloha's reward, 0 … 4; it counts one finger of each hand alone."""
    if touch(contacts, PEG, PIN):
        return 4
    lifted = not touch(contacts, (*PEG, *SOCKET), TABLE)
    if touch(contacts, PEG, SOCKET) and lifted:
        return 3
    if touch(contacts, PEG, RIGHT_FINGERS[1:]) and touch(contacts, SOCKET, LEFT_FINGERS[:1]):
        return 2 if lifted else 1
    return 0


def is_held(contacts: Contacts) -> bool:
    """Return whether the peg touches the pin, and each hand holds its part off the table."""
    return (
        touch(contacts, PEG, PIN)
        and touch(contacts, PEG, RIGHT_FINGERS)
        and touch(contacts, SOCKET, LEFT_FINGERS)
        and not touch(contacts, (*PEG, *SOCKET), TABLE)
    )


@dataclass(frozen=True)
class _Part:
    """What a hand picks: the place of its pose, its geoms, and how it lies and is held.

    squeeze: the gripper's target; it stops at 0.35 at the peg, at 0.65 at the socket
    """

    place: int
    names: tuple[str, ...]
    fingers: tuple[str, ...]
    sign: int
    rest_z: float
    squeeze: float


_PARTS: Mapping[Side, _Part] = {
    "left": _Part(1, SOCKET, LEFT_FINGERS, -1, SOCKET_REST_Z, 0.25),
    "right": _Part(0, PEG, RIGHT_FINGERS, 1, PEG_REST_Z, 0.0),
}


@dataclass(frozen=True)
class _Grasp:
    """A hand's path until it has its part, and how it then holds it.

    hand: the last waypoint, turned so that the part is level
    part_at: where the hand is from the part's center, m, once it is level
    """

    path: list[Waypoint]
    hand: Waypoint
    part_at: np.ndarray

    def hand_at(self, middle: Point, distance: float) -> Point:
        """Return the hand's position that puts its part's center at a distance along x."""
        x, y, z = np.add(middle, self.part_at).tolist()
        return x + distance, y, z


def plan_insertion(now: Situation, vary: Variation) -> Mapping[Side, list[Waypoint]]:
    """Lay out both grippers' paths: from home with the parts on the table, or from any moment.

    The hands pause nowhere and pass corners at speed, a leg lasts as long as its way needs, and
    nothing that is done already is done again: so one observation tells what comes next, and an
    episode that is taken over teaches nothing that contradicts a demonstration.
    """
    if is_held(now.contacts):
        return {side: [hand, hand.after(0.2)] for side, hand in now.hands.items()}
    grasps: dict[Side, _Grasp] = {side: _grasp(now, side, vary) for side in _PARTS}
    middle = vary.point(_MIDDLE, _MIDDLE_SPREAD)
    meet = touch(now.contacts, PEG, (*SOCKET, *PIN))
    if meet:
        x, y, z = now.poses[:, :3].mean(axis=0).tolist()
        middle = (x, y, z)
    slowness = vary.seconds(1.0)
    if not _faces(now):
        speed_m_s = _PUSH_M_S if meet else _LIFT_M_S
        _move_together(grasps, middle, _APART, slowness / speed_m_s, sets_off=0.5, arrives=0.4)
    _move_together(grasps, middle, _INSIDE, slowness / _PUSH_M_S, sets_off=1.0, arrives=0.0)
    return {side: grasp.path for side, grasp in grasps.items()}


def _move_together(
    grasps: Mapping[Side, _Grasp], middle: Point, distance: float, s_per_m: float, **ends: float
) -> None:
    """Bring the parts to a distance from the middle, both hands at the same moment."""
    places = {
        side: grasp.hand_at(middle, _PARTS[side].sign * distance) for side, grasp in grasps.items()
    }
    there_s = max(
        grasp.path[-1].time_s + max(way(grasp.path[-1].position, places[side]), _SHORT_M) * s_per_m
        for side, grasp in grasps.items()
    )
    for side, grasp in grasps.items():
        grip = _PARTS[side].squeeze
        arrival = grasp.hand.until(there_s, position=places[side], gripper=grip, **ends)
        grasp.path.append(arrival)


def _grasp(now: Situation, side: Side, vary: Variation) -> _Grasp:
    """Move above a part, down to it, and close; what of this is done already is left out."""
    if _is_lifted(now, side):
        return _level(now, side)
    part, path = _PARTS[side], [now.hands[side]]
    x, y = now.poses[part.place, :2].tolist()
    grasp = vary.point((x, y, _GRASP_Z), (0.002, 0.001, 0.001))
    above = vary.point((grasp[0] + part.sign * 0.03, grasp[1], 0.10), (0.005, 0.005, 0.008))
    down = {"pitch_rad": vary.degrees(72, 2), "roll_rad": 0.0, "yaw_rad": 0.0}
    if _is_around(path[0], (x, y, _GRASP_Z)):
        grasp = path[0].position
    else:
        if not _is_over(path[0], above, grasp):
            turn_s = abs(path[0].pitch_rad - down["pitch_rad"]) / _REACH_RAD_S
            reach_s = max(way(path[0].position, above) / _REACH_M_S, turn_s, 0.2)
            over = path[0].after(vary.seconds(reach_s), above, **down, gripper=1.0)
            path.append(replace(over, straight=False, sets_off=0.4, arrives=1.0))
        down_s = max(way(path[-1].position, grasp) / _DOWN_M_S, 0.1)
        aim = moved(grasp, now.miss[side])
        at_part = path[-1].after(vary.seconds(down_s), aim, **down, gripper=1.0)
        path.append(replace(at_part, straight=True, sets_off=1.0, arrives=0.5))
    closing_s = _CLOSING_S * max(path[-1].gripper - part.squeeze, 0.1)
    path.append(path[-1].after(vary.seconds(closing_s), gripper=part.squeeze))
    # along y the fingers, which close there, bring the part to their middle
    return _Grasp(path, path[-1], np.array([grasp[0] - x, 0.0, grasp[2] - part.rest_z]))


def _level(now: Situation, side: Side) -> _Grasp:
    """Go on with a part that is held off the table, however it is tilted."""
    pose, hand, faces_left = now.poses[_PARTS[side].place], now.hands[side], side == "right"
    back = _turn(pose[3:]).T
    axes = back @ rotation(hand.pitch_rad, hand.roll_rad, faces_left, hand.yaw_rad)
    pitch, roll, yaw = angles_of(axes, faces_left)
    level = replace(hand, pitch_rad=pitch, roll_rad=roll, yaw_rad=yaw)
    return _Grasp([hand], level, back @ np.subtract(hand.position, pose[:3]))


def _turn(quaternion: np.ndarray) -> np.ndarray:
    """Return the rotation matrix of a unit quaternion w, x, y, z: (4,) -> (3, 3)."""
    w, v = quaternion[0], quaternion[1:]
    cross = np.cross(np.eye(3), v)
    return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross


def _is_lifted(now: Situation, side: Side) -> bool:
    part = _PARTS[side]
    return touch(now.contacts, part.names, part.fingers) and not touch(
        now.contacts, part.names, TABLE
    )


def _is_around(hand: Waypoint, grasp: Point) -> bool:
    """Return whether the hand is where it closes around a part."""
    x, y, z = np.abs(np.subtract(hand.position, grasp)).tolist()
    return x < 0.015 and y < 0.006 and z < 0.006


def _is_over(hand: Waypoint, above: Point, grasp: Point) -> bool:
    """Return whether the hand is open and near the line on which it goes down to a part."""
    return hand.gripper > 0.9 and beside(hand.position, above, grasp) < _NEAR_M


def _faces(now: Situation) -> bool:
    """Return whether both hands hold their parts on one line, so that a push puts them together."""
    apart, y, z = np.subtract(now.poses[0, :3], now.poses[1, :3]).tolist()
    in_line = abs(y) < _IN_LINE_M and abs(z) < _IN_LINE_M and apart < 2 * _APART + _NEAR_M
    level = bool((now.poses[:, 3] > _LEVEL).all())
    return in_line and level and all(_is_lifted(now, side) for side in _PARTS)


INSERTION = Task(
    name="insertion",
    text="Insert the peg into the socket.",
    objects=("peg", "socket"),
    rewards=(
        "each hand touches its part",
        "both parts are off the table",
        "the peg touches the socket",
        "the peg is in the socket",
    ),
    scene=scene,
    start_poses=start_poses,
    reward=reward,
    is_held=is_held,
    plan=plan_insertion,
)
