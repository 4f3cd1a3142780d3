"""TransferCube mirrored: the left hand lifts the cube and gives it to the right hand."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from handover_envs.tasks.task import LEFT_FINGERS, RIGHT_FINGERS, Contacts, Situation, Task
from handover_envs.tasks.transfer_cube import (
    handed_over,
    held_alone,
    plan_transfer,
    scene,
    start_poses,
)
from handover_envs.tasks.variation import Variation
from handover_envs.tasks.waypoints import Point, Side, Waypoint

_MIRROR = (-1, 1, 1)  # the arms stand on both sides of the plane x = 0


def start_poses_left(seed: int) -> np.ndarray:
    """Mirror TransferCube's pose of a seed: (1, 7) float64, x from -0.2 to 0 m."""
    poses = start_poses(seed)
    poses[:, 0] *= -1
    return poses


def plan_transfer_left(now: Situation, vary: Variation) -> Mapping[Side, list[Waypoint]]:
    """Mirror the plan of TransferCube in the mirrored situation."""
    poses = now.poses * (*_MIRROR, 1, 1, -1, -1)  # a mirrored turn keeps w and x
    mirrored = Situation(
        poses=poses,
        hands={"left": _mirror(now.hands["right"]), "right": _mirror(now.hands["left"])},
        contacts=_swap_hands(now.contacts),
        miss={"left": _mirror_point(now.miss["right"]), "right": _mirror_point(now.miss["left"])},
    )
    paths = plan_transfer(mirrored, vary)
    return {
        "left": [now.hands["left"], *map(_mirror, paths["right"][1:])],
        "right": [now.hands["right"], *map(_mirror, paths["left"][1:])],
    }


def _mirror(place: Waypoint) -> Waypoint:
    return replace(
        place,
        position=_mirror_point(place.position),
        roll_rad=-place.roll_rad,
        yaw_rad=-place.yaw_rad,
    )


def _mirror_point(point: Point) -> Point:
    x, y, z = np.multiply(point, _MIRROR).tolist()
    return x, y, z


def _swap_hands(contacts: Contacts) -> Contacts:
    other = dict(zip(LEFT_FINGERS + RIGHT_FINGERS, RIGHT_FINGERS + LEFT_FINGERS, strict=True))
    return frozenset(frozenset(other.get(name, name) for name in pair) for pair in contacts)


TRANSFER_CUBE_LEFT = Task(
    name="transfer_cube_left",
    text="Pick up the cube with the left arm and transfer it to the right arm.",
    objects=("cube",),
    rewards=(
        "the left hand touches the cube",
        "the left hand lifts it off the table",
        "the right hand touches it",
        "the right hand holds it off the table",
    ),
    scene=scene,
    start_poses=start_poses_left,
    reward=lambda contacts: handed_over(contacts, LEFT_FINGERS, RIGHT_FINGERS),
    is_held=lambda contacts: held_alone(contacts, LEFT_FINGERS, RIGHT_FINGERS),
    plan=plan_transfer_left,
)
