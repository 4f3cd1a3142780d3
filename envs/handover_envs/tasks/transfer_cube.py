"""TransferCube: the right hand lifts the cube, the left hand takes it sideways. As in gym-aloha."""

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
from handover_envs.tasks.waypoints import Point, Side, Waypoint, beside, moved, way

CUBE, TABLE = ("red_box",), ("table",)

_GRASP_Z = 0.025  # m; any lower, the fingers would press on the table and close late
_ON_EDGE_RAD = np.pi / 2  # the left hand's fingers close from above and below
# As wide as it opens: the hand may pass the cube 15 mm too high or too low (at 0.8, 9 mm).
_LEFT_OPENING = 1.0
_SQUEEZE = 0.2  # a gripper that holds the cube stops at 0.6
_RISE_M_S = 0.1  # speed of both hands' rise while one closes and the other opens
_AT_REST = {"sets_off": 0.0, "arrives": 0.0}  # where a leg begins and ends
_NEAR_M = 0.02  # from the line on which a hand arrives: it goes on from there
_LONG_M, _DOWN_M = 0.15, 0.08  # no demonstration's ways are shorter
_WHOLE = 5  # waypoints of the right hand from home
_LEAVES_S = 1.3  # after a start: the left hand leaves home as the right hand goes down


def scene() -> str:
    """Return the path of gym-aloha's scene."""
    return gym_aloha_scene("bimanual_viperx_transfer_cube.xml")


def start_poses(seed: int) -> np.ndarray:
    """Draw the cube's pose as gym-aloha's reset(seed) does: (1, 7) float64."""
    from gym_aloha.utils import sample_box_pose

    return sample_box_pose(seed)[None]


def handed_over(contacts: Contacts, giver: tuple[str, ...], receiver: tuple[str, ...]) -> int:
    """Return the reward of a cube on its way from a hand to another, 0 … 4."""
    lifted = not touch(contacts, CUBE, TABLE)
    if touch(contacts, CUBE, receiver):
        return 4 if lifted else 3
    if touch(contacts, CUBE, giver):
        return 2 if lifted else 1
    return 0


def held_alone(contacts: Contacts, giver: tuple[str, ...], receiver: tuple[str, ...]) -> bool:
    """Return whether the cube is off the table in the receiver's hand, and the giver's let go."""
    return (
        touch(contacts, CUBE, receiver)
        and not touch(contacts, CUBE, giver)
        and not touch(contacts, CUBE, TABLE)
    )


def plan_transfer(now: Situation, vary: Variation) -> Mapping[Side, list[Waypoint]]:
    """Lay out both grippers' paths: from home with the cube on the table, or from any moment on.

    At least one hand moves at every moment until the end: so a single observation shows how far the
    transfer is, even while a gripper squeezes and its state is at rest. From another moment a leg
    lasts as long as its way and its grip still need, and what is done already is left out: an
    episode that is taken over teaches nothing that contradicts a demonstration.
    """
    right, left = [now.hands["right"]], [now.hands["left"]]
    if not touch(now.contacts, CUBE, LEFT_FINGERS):
        right = _pick_and_show(now, vary)
        left = _take(now, right, vary)
    showing = right[-1].until(left[-1].time_s)
    closing_s = vary.seconds(0.5) * _share(left[-1].gripper, _LEFT_OPENING, _SQUEEZE)
    opening_s = vary.seconds(0.4) * _share(right[-1].gripper, _SQUEEZE, 1.0)
    held, taken = _rise(showing, closing_s), _rise(left[-1], closing_s, gripper=_SQUEEZE)
    released, owned = _rise(held, opening_s, gripper=1.0), _rise(taken, opening_s)
    leaving_s = vary.seconds(0.8)
    away = released.after(leaving_s, moved(released.position, (0.12, 0.0, 0.06)), **_AT_REST)
    aside = owned.after(leaving_s, moved(owned.position, (-0.08, 0.0, 0.0)), **_AT_REST)
    return {
        "right": [*right, showing, held, released, away],
        "left": [*left, taken, owned, aside],
    }


def _pick_and_show(now: Situation, vary: Variation) -> list[Waypoint]:
    """Lift the cube to the middle, where the left hand takes it."""
    here = now.hands["right"]
    x, y = now.poses[0, :2].tolist()
    pitch = vary.degrees(68, 1)
    grasp = vary.point((x + 0.004, y, _GRASP_Z), (0.001, 0.001, 0.001))
    above = vary.point((grasp[0] + 0.03, grasp[1], 0.11), (0.003, 0.003, 0.004))
    shown = vary.point((0.0, 0.5, 0.20), (0.003, 0.003, 0.001))
    level: dict[str, Any] = {"pitch_rad": pitch, "roll_rad": 0.0, "yaw_rad": 0.0}
    path = [here]
    if not _is_lifted(now):
        if not _is_around(here, (x + 0.004, y, _GRASP_Z)):
            if here.gripper < 0.9 or beside(here.position, above, grasp) > _NEAR_M:
                seconds = _needed(_LEAVES_S, way(here.position, above), _LONG_M)
                path.append(
                    here.after(vary.seconds(seconds), above, **level, gripper=1.0, straight=False)
                )
            seconds = _needed(0.8, way(path[-1].position, grasp), _DOWN_M)
            down = moved(grasp, now.miss["right"])
            path.append(
                path[-1].after(vary.seconds(seconds), down, **level, gripper=1.0, straight=True)
            )
        seconds = 0.5 * _share(path[-1].gripper, 1.0, _SQUEEZE)
        path.append(path[-1].after(vary.seconds(seconds), gripper=_SQUEEZE))
    seconds = _needed(1.4, way(path[-1].position, shown), _LONG_M)
    return [*path, path[-1].after(vary.seconds(seconds), shown, **level, gripper=_SQUEEZE)]


def _take(now: Situation, right: list[Waypoint], vary: Variation) -> list[Waypoint]:
    """Leave home as the right hand goes down, come up beside the shown cube, and around it.

    Appends to the right hand's path where it has to wait.
    """
    here, shown = now.hands["left"], right[-1]
    pitch = vary.degrees(0, 1)
    at_side = vary.near(shown.position, (-0.12, 0.0, 0.0), 0.003)
    take = vary.near(shown.position, (-0.004, 0.0, -0.009), 0.001)
    path = [here, here.until(right[1].time_s)] if len(right) == _WHOLE else [here]
    before_s, after_s = vary.seconds(0.3), vary.seconds(0.4)
    turned = {"pitch_rad": pitch, "roll_rad": _ON_EDGE_RAD, "yaw_rad": 0.0}
    if here.gripper > 0.7 and beside(here.position, at_side, take) < _NEAR_M:
        waits = here.until(max(shown.time_s - before_s, 0.0))
        around_s = waits.time_s + _needed(before_s + after_s, way(here.position, take), 0.12)
        aim = moved(take, now.miss["left"])
        return [here, waits, waits.until(around_s, position=aim, **turned, gripper=_LEFT_OPENING)]
    needed_s = path[-1].time_s + _needed(1.2, way(here.position, at_side), _LONG_M)
    ready_s = shown.time_s - before_s
    if needed_s > ready_s:
        ready_s = needed_s
        right.append(shown.until(ready_s + before_s))
    ready = Waypoint(ready_s, at_side, pitch, _LEFT_OPENING, _ON_EDGE_RAD, straight=False)
    around_s = right[-1].time_s + after_s
    taking = ready.until(around_s, position=moved(take, now.miss["left"]), straight=True)
    return [*path, ready, taking]


def _is_lifted(now: Situation) -> bool:
    return touch(now.contacts, CUBE, RIGHT_FINGERS) and not touch(now.contacts, CUBE, TABLE)


def _is_around(hand: Waypoint, grasp: Point) -> bool:
    """Return whether the right hand is where it closes around the cube."""
    x, y, z = np.abs(np.subtract(hand.position, grasp)).tolist()
    return x < 0.012 and y < 0.006 and z < 0.006


def _needed(usual_s: float, way_m: float, usual_m: float) -> float:
    """Return the seconds of a leg: as usual, or less where the way is shorter than usual."""
    return usual_s * min(max(way_m / usual_m, 0.1), 1.0)


def _share(gripper: float, start: float, end: float) -> float:
    """Return how much of a gripper's way from start to end lies ahead of it: 0.05 … 1."""
    return float(np.clip((gripper - end) / (start - end), 0.05, 1.0))


def _rise(place: Waypoint, seconds: float, **changes: Any) -> Waypoint:
    """Continue upward at constant speed."""
    higher = moved(place.position, (0.0, 0.0, _RISE_M_S * seconds))
    return place.after(seconds, higher, sets_off=1.0, arrives=1.0, **changes)


TRANSFER_CUBE = Task(
    name="transfer_cube",
    text="Pick up the cube with the right arm and transfer it to the left arm.",
    objects=("cube",),
    rewards=(
        "the right hand touches the cube",
        "the right hand lifts it off the table",
        "the left hand touches it",
        "the left hand holds it off the table",
    ),
    scene=scene,
    start_poses=start_poses,
    # gym-aloha counts these two fingers alone
    reward=lambda contacts: handed_over(contacts, RIGHT_FINGERS[1:], LEFT_FINGERS[:1]),
    is_held=lambda contacts: held_alone(contacts, RIGHT_FINGERS, LEFT_FINGERS),
    plan=plan_transfer,
)
