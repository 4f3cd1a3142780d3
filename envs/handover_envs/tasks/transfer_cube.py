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
from handover_envs.tasks.waypoints import Side, Waypoint, moved

CUBE, TABLE = ("red_box",), ("table",)

_GRASP_Z = 0.025  # m; any lower, the fingers would press on the table and close late
_ON_EDGE_RAD = np.pi / 2  # the left hand's fingers close from above and below
# Wide enough for the cube, and narrow enough to pass under the right hand's palm.
_LEFT_OPENING = 0.8
_SQUEEZE = 0.2  # a gripper that holds the cube stops at 0.6
_RISE_M_S = 0.1  # speed of both hands' rise while one closes and the other opens
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
    transfer is, even while a gripper squeezes and its state is at rest.
    """
    right, left = [now.hands["right"]], [now.hands["left"]]
    if not touch(now.contacts, CUBE, LEFT_FINGERS):
        right = _pick_and_show(now, vary)
        left = _take(now, right, vary)
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


def _pick_and_show(now: Situation, vary: Variation) -> list[Waypoint]:
    """Lift the cube to the middle, where the left hand takes it."""
    here = now.hands["right"]
    x, y = now.poses[0, :2].tolist()
    pitch = vary.degrees(68, 1)
    grasp = vary.point((x + 0.004, y, _GRASP_Z), (0.001, 0.001, 0.001))
    above = vary.point((grasp[0] + 0.03, grasp[1], 0.11), (0.003, 0.003, 0.004))
    shown = vary.point((0.0, 0.5, 0.20), (0.003, 0.003, 0.001))
    level: dict[str, Any] = {"pitch_rad": pitch, "roll_rad": 0.0, "yaw_rad": 0.0}
    if touch(now.contacts, CUBE, RIGHT_FINGERS):
        return [here, here.after(vary.seconds(1.4), shown, **level, gripper=_SQUEEZE)]
    over = here.after(vary.seconds(_LEAVES_S), above, **level, gripper=1.0, straight=False)
    down = over.after(vary.seconds(0.8), moved(grasp, now.miss["right"]), straight=True)
    closed = down.after(vary.seconds(0.5), gripper=_SQUEEZE)
    return [here, over, down, closed, closed.after(vary.seconds(1.4), shown)]


def _take(now: Situation, right: list[Waypoint], vary: Variation) -> list[Waypoint]:
    """Leave home as the right hand goes down, come up beside the shown cube, and around it."""
    here, shown = now.hands["left"], right[-1]
    pitch = vary.degrees(0, 1)
    beside = vary.near(shown.position, (-0.12, 0.0, 0.0), 0.003)
    take = vary.near(shown.position, (-0.004, 0.0, -0.009), 0.001)
    leaving = [here, here.until(right[1].time_s)] if len(right) > 2 else [here]
    ready_s = shown.time_s - vary.seconds(0.3)
    ready = Waypoint(ready_s, beside, pitch, _LEFT_OPENING, _ON_EDGE_RAD, straight=False)
    around_s = shown.time_s + vary.seconds(0.4)
    taking = ready.until(around_s, position=moved(take, now.miss["left"]), straight=True)
    return [*leaving, ready, taking]


def _rise(place: Waypoint, seconds: float, **changes: Any) -> Waypoint:
    """Continue upward at constant speed."""
    higher = moved(place.position, (0.0, 0.0, _RISE_M_S * seconds))
    return place.after(seconds, higher, steady=True, **changes)


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
