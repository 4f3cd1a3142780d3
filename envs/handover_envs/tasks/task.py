"""Definition of a simulated task, and the words in which tasks are written: contacts, situations.

A task of one's own is one `Task`, named in the entry points of group `handover.tasks`;
docs/tasks.md has one in 60 lines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from handover_envs.tasks.variation import Variation
from handover_envs.tasks.waypoints import Point, Side, Waypoint

# What touches what: unordered pairs of MuJoCo geom names.
Contacts = frozenset[frozenset[str]]

SUCCESS_REWARD = 4  # gym-aloha's reward goes 0, 1, 2, 3, 4; only 4 is success
CONTROL_RATE_HZ = 50  # gym_aloha/constants.py: DT is 0.02 s
DEMONSTRATION_STEPS = 400  # 8 s, the length of the public demonstrations

LEFT_FINGERS = tuple(f"vx300s_left/10_{side}_gripper_finger" for side in ("left", "right"))
RIGHT_FINGERS = tuple(f"vx300s_right/10_{side}_gripper_finger" for side in ("left", "right"))

GYM_ALOHA_CAMERAS = (
    *("top", "angle", "front_close", "left_pillar", "right_pillar", "left_wrist", "right_wrist"),
)

EXACT: Mapping[Side, Point] = {"left": (0.0, 0.0, 0.0), "right": (0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class Situation:
    """What an expert plans from: objects, hands, and what touches what.

    poses: of the objects, (objects, 7) float64, as Task.start_poses
    hands: where each hand is, at 0 s
    contacts: empty at an episode's start
    miss: offset of each hand's grasp from its target, m, as a learner would grasp
    """

    poses: np.ndarray
    hands: Mapping[Side, Waypoint]
    contacts: Contacts = frozenset()
    miss: Mapping[Side, Point] = field(default_factory=lambda: EXACT)


Plan = Callable[[Situation, Variation], Mapping[Side, list[Waypoint]]]


@dataclass(frozen=True)
class Task:
    """One task of two arms at a table.

    name: as in --task
    text: the instruction in words
    objects: names of what has a free joint, in the scene's order; their joints are its last
    rewards: what 1 … 4 stand for; 4 is success
    scene: returns the path of a MuJoCo scene with gym-aloha's two arms
    start_poses: seed -> (objects, 7) float64, x, y, z in m and a w, x, y, z quaternion each
    reward: 0 … 4, from what touches what
    is_held: strict success: whether the task is done for good, from what touches what
    plan: the expert's paths of both hands; each begins with the situation's waypoint
    cameras: of the scene
    """

    name: str
    text: str
    objects: tuple[str, ...]
    rewards: tuple[str, str, str, str]
    scene: Callable[[], str]
    start_poses: Callable[[int], np.ndarray]
    reward: Callable[[Contacts], int]
    is_held: Callable[[Contacts], bool]
    plan: Plan
    cameras: tuple[str, ...] = GYM_ALOHA_CAMERAS


def touch(contacts: Contacts, some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether any geom of one group touches any geom of the other."""
    return any(frozenset((one, other)) in contacts for one in some for other in others)


def gym_aloha_scene(name: str) -> str:
    """Return the path of one of gym-aloha's scenes, which it has beside its constants."""
    from gym_aloha.constants import ASSETS_DIR

    return str(ASSETS_DIR / name)
