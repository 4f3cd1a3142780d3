"""Scripted experts: a trajectory of joint targets for a seed, and trajectories as a policy.

An expert knows where the objects are when it begins and never looks again: its trajectory is a
function of time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from handover_proto import ARM_JOINTS, CHUNK_STEPS, GRIPPER_JOINTS, POLICY_RATE_HZ

from handover_envs.experts.inverse_kinematics import HOME_ANGLES, ArmKinematics, GripperPose
from handover_envs.simulator.loading import load_world
from handover_envs.tasks.names import TaskName
from handover_envs.tasks.registry import find_task
from handover_envs.tasks.task import (
    CONTROL_RATE_HZ,
    DEMONSTRATION_STEPS,
    EXACT,
    Contacts,
    Situation,
    Task,
)
from handover_envs.tasks.variation import Variation
from handover_envs.tasks.waypoints import (
    Point,
    Side,
    Waypoint,
    angles_of,
    blend,
    progress,
    rotation,
)

# A posture with the wrist bent down. Solutions near it keep the forearm from rolling over, as it
# would near home, where a gripper that points down is reached with either bend.
_BENT_ANGLES = (0.0, -0.5, 1.0, 0.0, 0.6, 0.0)
_BENT_FROM_RAD = 0.5  # waypoints with more pitch than this are solved near the bent posture
_REST_S = 1.0  # how long a recovery's last targets are held

_HOME = np.array([*HOME_ANGLES, 0.0] * 2)
_JOINTS: Mapping[Side, slice] = {"left": slice(0, 7), "right": slice(7, 14)}


@dataclass(frozen=True)
class Trajectory:
    """One demonstration: `targets` is (steps, 14) float32 at 50 Hz, rad, grippers 0 … 1."""

    task: str
    seed: int
    targets: np.ndarray

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Return the targets at any times: (n,) -> (n, 14) float32; the last one is held.

        Resampled as in conversion: arms linearly, grippers the nearest target, the earlier of two.
        """
        targets = joints_at(self.targets, times_s)
        nearest = self.targets[nearest_steps(times_s, len(self.targets))]
        targets[:, GRIPPER_JOINTS] = nearest[:, GRIPPER_JOINTS]
        return targets


def joints_at(joints: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Interpolate 50 Hz joints linearly at any times: (L, 14), (n,) -> (n, 14) float32."""
    steps = _steps(times_s, len(joints))
    before = np.floor(steps).astype(int)
    after = np.minimum(before + 1, len(joints) - 1)
    share = (steps - before)[:, None]
    return ((1 - share) * joints[before] + share * joints[after]).astype(np.float32)


def nearest_steps(times_s: np.ndarray, length: int) -> np.ndarray:
    """Return the control step nearest to each time, the earlier of two: (n,) int64."""
    return np.ceil(_steps(times_s, length) - 0.5).astype(int)


def _steps(times_s: np.ndarray, length: int) -> np.ndarray:
    return np.clip(np.round(np.asarray(times_s) * CONTROL_RATE_HZ, 9), 0, length - 1)


class Expert:
    """Plans demonstrations of one task; the same seed gives the same plan."""

    def __init__(self, task: TaskName | Task) -> None:
        """Load the arms. Raises UsageError, MissingExtra or GraphicsMissing."""
        self.task = task if isinstance(task, Task) else find_task(task)
        load_world()
        scene = self.task.scene()
        self._arms = {side: ArmKinematics(side, scene) for side in get_args(Side)}

    def plan(
        self, seed: int, miss: Mapping[Side, Point] = EXACT, poses: np.ndarray | None = None
    ) -> Trajectory:
        """Plan the demonstration for the objects' poses of AlohaSimulator.reset(seed), or others.

        miss: offset of each hand's grasp from its target, m, as a learner would grasp; apart from
        it, the same seed gives the same demonstration.
        """
        vary = Variation(np.random.default_rng(seed))
        poses = self.task.start_poses(seed) if poses is None else poses
        situation = Situation(poses, self._hands(_HOME), miss=miss)
        targets = self._follow(self.task.plan(situation, vary), _HOME, DEMONSTRATION_STEPS)
        time_s = np.arange(DEMONSTRATION_STEPS) / CONTROL_RATE_HZ
        targets[:, ARM_JOINTS] += vary.tremor(time_s)
        return Trajectory(self.task.name, seed, targets.astype(np.float32))

    def recover(
        self, seed: int, targets: np.ndarray, poses: np.ndarray, contacts: Contacts
    ) -> Trajectory:
        """Plan the rest of an episode from any moment of it, for its objects' poses and contacts.

        targets: (14,), what the arms were last told; the plan begins there. Raises OutOfReach.
        """
        start = np.asarray(targets, np.float64)
        vary = Variation(np.random.default_rng(seed))
        paths = self.task.plan(Situation(poses, self._hands(start), contacts), vary)
        last_s = max(path[-1].time_s for path in paths.values()) + _REST_S
        steps = min(int(last_s * CONTROL_RATE_HZ), DEMONSTRATION_STEPS)
        followed = self._follow(paths, start, steps)
        return Trajectory(self.task.name, seed, followed.astype(np.float32))

    def _hands(self, joints: np.ndarray) -> dict[Side, Waypoint]:
        """Return where both grippers are at joint positions (14,)."""
        return {side: self._hand(side, joints[part]) for side, part in _JOINTS.items()}

    def _hand(self, side: Side, joints: np.ndarray) -> Waypoint:
        pose = self._arms[side].pose(joints[:6])
        x, y, z = pose.position.tolist()
        pitch, roll, yaw = angles_of(pose.rotation, faces_left=side == "right")
        return Waypoint(0.0, (x, y, z), pitch, float(joints[6]), roll, yaw_rad=yaw)

    def _follow(
        self, paths: Mapping[Side, list[Waypoint]], start: np.ndarray, steps: int
    ) -> np.ndarray:
        """Convert both grippers' paths to joint targets: (steps, 14) float64 at 50 Hz."""
        followed = [
            self._follow_hand(side, paths[side], start[part], steps)
            for side, part in _JOINTS.items()
        ]
        return np.concatenate(followed, axis=1)

    def _follow_hand(
        self, side: Side, path: list[Waypoint], start: np.ndarray, steps: int
    ) -> np.ndarray:
        corners = [start[:6]]
        for place in path[1:]:
            corners.append(self._angles(side, place, _posture(place, corners[-1])))
        targets = np.empty((steps, 7))
        angles = corners[0]
        for step in range(steps):
            leg, share = progress(path, step / CONTROL_RATE_HZ)
            place = blend(path[leg], path[leg + 1], share)
            if path[leg + 1].straight:
                angles = self._angles(side, place, angles)
            else:
                angles = (1 - share) * corners[leg] + share * corners[leg + 1]
            targets[step] = [*angles, place.gripper]
        return targets

    def _angles(self, side: Side, place: Waypoint, near: np.ndarray) -> np.ndarray:
        faces_left = side == "right"
        axes = rotation(place.pitch_rad, place.roll_rad, faces_left, place.yaw_rad)
        return self._arms[side].solve(GripperPose(np.array(place.position), axes), near)


class ScriptedPolicy:
    """Scripted expert as a policy: the upper bound of a rollout, and a check of its loop."""

    def __init__(self, task: TaskName | Task) -> None:
        """Load the expert. Raises as Expert does."""
        self._expert = Expert(task)
        self._plan: Trajectory | None = None

    def reset(self, seed: int, poses: np.ndarray | None = None) -> None:
        """Plan the episode that AlohaSimulator.reset(seed) starts, or one of other poses."""
        self._plan = self._expert.plan(seed, poses=poses)

    def chunk(
        self, time_s: float, steps: int = CHUNK_STEPS, rate_hz: float = POLICY_RATE_HZ
    ) -> np.ndarray:
        """Return the targets from a time of the episode on: (steps, 14) float32 at rate_hz.

        Raises RuntimeError before the first reset.
        """
        if self._plan is None:
            raise RuntimeError("ScriptedPolicy.chunk was called before its first reset(seed)")
        return self._plan.at(time_s + np.arange(steps) / rate_hz)


def _posture(place: Waypoint, before: np.ndarray) -> np.ndarray:
    """Choose the angles near which a waypoint is solved."""
    if place.straight:
        return before
    return np.array(_BENT_ANGLES if place.pitch_rad > _BENT_FROM_RAD else HOME_ANGLES)
