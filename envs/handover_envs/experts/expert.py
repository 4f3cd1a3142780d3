"""Scripted experts: a trajectory of joint targets for a seed, and trajectories as a policy.

An expert knows where the objects start and never looks again: its trajectory is a function of time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from handover_proto import ARM_JOINTS, CHUNK_STEPS, GRIPPER_JOINTS, POLICY_RATE_HZ

from handover_envs.experts.insertion import plan_insertion
from handover_envs.experts.inverse_kinematics import HOME_ANGLES, ArmKinematics, GripperPose, Side
from handover_envs.experts.transfer_cube import plan_transfer
from handover_envs.experts.variation import Variation
from handover_envs.experts.waypoints import Point, Waypoint, blend, progress, rotation
from handover_envs.simulator.loading import load_world
from handover_envs.simulator.tasks import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, TaskName, find_task

# A posture with the wrist bent down. Solutions near it keep the forearm from rolling over, as it
# would near home, where a gripper that points down is reached with either bend.
_BENT_ANGLES = (0.0, -0.5, 1.0, 0.0, 0.6, 0.0)
_BENT_FROM_RAD = 0.5  # waypoints with more pitch than this are solved near the bent posture

EXACT: Mapping[Side, Point] = {"left": (0.0, 0.0, 0.0), "right": (0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class Trajectory:
    """One demonstration: `targets` is (400, 14) float32 at 50 Hz, rad, grippers 0 … 1."""

    task: TaskName
    seed: int
    targets: np.ndarray

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Return the targets at any times: (n,) -> (n, 14) float32; the last one is held.

        Resampled as in conversion: arms linearly, grippers the nearest target, the earlier of two.
        """
        last = len(self.targets) - 1
        steps = np.clip(np.round(np.asarray(times_s) * CONTROL_RATE_HZ, 9), 0, last)
        before = np.floor(steps).astype(int)
        after = np.minimum(before + 1, last)
        share = (steps - before)[:, None]
        targets = (1 - share) * self.targets[before] + share * self.targets[after]
        nearest = np.where(steps - before > 0.5, after, before)
        targets[:, GRIPPER_JOINTS] = self.targets[nearest][:, GRIPPER_JOINTS]
        return targets.astype(np.float32)


class Expert:
    """Plans demonstrations of one task; the same seed gives the same plan."""

    def __init__(self, task: TaskName) -> None:
        """Load the arms. Raises UsageError, MissingExtra or GraphicsMissing."""
        self.task: TaskName = find_task(task).name
        self._world = load_world()
        scene = self._world.scene_path("transfer_cube")  # the arms are the same in both scenes
        self._arms = {side: ArmKinematics(side, scene) for side in get_args(Side)}
        self._home = {side: _home(arm) for side, arm in self._arms.items()}

    def plan(self, seed: int, miss: Mapping[Side, Point] = EXACT) -> Trajectory:
        """Plan the demonstration for the objects' poses of AlohaSimulator.reset(seed).

        miss: offset of each hand's grasp from its target, m, as a learner would grasp; apart from
        it, the same seed gives the same demonstration.
        """
        poses = self._world.start_poses(self.task, seed)
        vary = Variation(np.random.default_rng(seed))
        if self.task == "transfer_cube":
            paths = plan_transfer(poses[0], self._home, vary, miss)
        else:
            paths = plan_insertion(poses[0], poses[1], self._home, vary, miss)
        targets = np.concatenate([self._follow(side, paths[side]) for side in ("left", "right")], 1)
        targets[:, ARM_JOINTS] += vary.tremor(DEMONSTRATION_STEPS)
        return Trajectory(self.task, seed, targets.astype(np.float32))

    def _follow(self, side: Side, path: list[Waypoint]) -> np.ndarray:
        """Convert one gripper's path to its joint targets: (400, 7) float64 at 50 Hz."""
        corners = [np.array(HOME_ANGLES)]
        for place in path[1:]:
            corners.append(self._angles(side, place, _posture(place, corners[-1])))
        targets = np.empty((DEMONSTRATION_STEPS, 7))
        angles = corners[0]
        for step in range(DEMONSTRATION_STEPS):
            leg, share = progress(path, step / CONTROL_RATE_HZ)
            place = blend(path[leg], path[leg + 1], share)
            if path[leg + 1].straight:
                angles = self._angles(side, place, angles)
            else:
                angles = (1 - share) * corners[leg] + share * corners[leg + 1]
            targets[step] = [*angles, place.gripper]
        return targets

    def _angles(self, side: Side, place: Waypoint, near: np.ndarray) -> np.ndarray:
        axes = rotation(place.pitch_rad, place.roll_rad, faces_left=side == "right")
        return self._arms[side].solve(GripperPose(np.array(place.position), axes), near)


class ScriptedPolicy:
    """Scripted expert as a policy: the upper bound of a rollout, and a check of its loop."""

    def __init__(self, task: TaskName) -> None:
        """Load the expert. Raises as Expert does."""
        self._expert = Expert(task)
        self._plan: Trajectory | None = None

    def reset(self, seed: int) -> None:
        """Plan the episode that AlohaSimulator.reset(seed) starts."""
        self._plan = self._expert.plan(seed)

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


def _home(arm: ArmKinematics) -> Waypoint:
    pose = arm.pose(np.array(HOME_ANGLES))
    x, y, z = pose.position.tolist()
    return Waypoint(
        time_s=0.0,
        position=(x, y, z),
        pitch_rad=float(np.arcsin(-pose.rotation[2, 0])),
        gripper=0.0,
    )
