"""Insertion: each hand lifts its part, and the parts meet along x. As in gym-aloha."""

from collections.abc import Mapping
from typing import Any

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
from handover_envs.tasks.waypoints import Point, Side, Waypoint, moved

PEG, PIN, TABLE = ("red_peg",), ("pin",), ("table",)
SOCKET = tuple(f"socket-{wall}" for wall in (1, 2, 3, 4))

# Heights of the parts' centers on the table, m (sizes in bimanual_viperx_insertion.xml).
PEG_REST_Z = 0.01
SOCKET_REST_Z = 0.022
# The fingers reach 0.019 m past the grasp point: lower than this they would press on the table.
_GRASP_Z = 0.022

# The distance of each part's center from the middle, m. The peg's end meets the socket's pin at
# 0.05; less presses them together, even if a hand holds its part slightly off-center.
_APART, _INSIDE = 0.095, 0.040


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


def plan_insertion(now: Situation, vary: Variation) -> Mapping[Side, list[Waypoint]]:
    """Lay out both grippers' paths: from home with the parts on the table, or from any moment."""
    peg, peg_at = _pick(now, "right", vary)
    socket, socket_at = _pick(now, "left", vary)
    middle = vary.point((0.0, 0.5, 0.17), (0.004, 0.004, 0.004))
    facing_s = max(peg[-1].time_s, socket[-1].time_s) + vary.seconds(1.5)
    push_s = facing_s + vary.seconds(0.3)
    inside_s = push_s + vary.seconds(1.3)
    for path, part_at, sign in ((peg, peg_at, 1), (socket, socket_at, -1)):
        held = path[-1]
        apart = _hand_at(middle, sign * _APART, part_at)
        inside = _hand_at(middle, sign * _INSIDE, part_at)
        path.append(held.until(facing_s, position=apart))
        path.append(path[-1].until(push_s))
        path.append(path[-1].until(inside_s, position=inside))
    return {"left": socket, "right": peg}


def _pick(now: Situation, side: Side, vary: Variation) -> tuple[list[Waypoint], np.ndarray]:
    """Move above a part, down to it, and close, unless it is held off the table already.

    Return the hand's path, and where the hand then is, from the part's center.
    """
    place, names, fingers, sign, rest_z = {
        "right": (0, PEG, RIGHT_FINGERS, 1, PEG_REST_Z),
        "left": (1, SOCKET, LEFT_FINGERS, -1, SOCKET_REST_Z),
    }[side]
    here, (x, y, z) = now.hands[side], now.poses[place, :3].tolist()
    pitch = vary.degrees(72, 2)
    if touch(now.contacts, names, fingers) and not touch(now.contacts, names, TABLE):
        return [here], np.subtract(here.position, (x, y, z))
    grasp = vary.point((x, y, _GRASP_Z), (0.002, 0.001, 0.001))
    above = vary.point((grasp[0] + sign * 0.03, grasp[1], 0.10), (0.005, 0.005, 0.008))
    level: dict[str, Any] = {"pitch_rad": pitch, "roll_rad": 0.0, "yaw_rad": 0.0}
    over = here.after(vary.seconds(1.4), above, **level, gripper=1.0, straight=False)
    down = over.after(vary.seconds(0.8), moved(grasp, now.miss[side]), straight=True)
    path = [here, over, down, down.after(vary.seconds(0.5), gripper=0.0)]
    thought_at = np.subtract(down.position, now.miss[side])
    return path, np.subtract(thought_at, (x, y, rest_z))


def _hand_at(middle: Point, distance: float, part_at: np.ndarray) -> Point:
    """Return the hand's position that puts its part's center at a distance along x."""
    x, y, z = np.add(middle, part_at).tolist()
    return x + distance, y, z


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
