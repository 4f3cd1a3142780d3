"""Inverse kinematics of one arm: damped least squares on MuJoCo's model, pose to six angles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from handover_common import HandoverError

from handover_envs.tasks.waypoints import Side

ARM_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
HOME_ANGLES = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0)  # rad; gym_aloha/constants.py, START_ARM_POSE

# From `gripper_link` to the point between the fingertips, along the gripper. The same point as
# the mocap bodies of gym-aloha's end-effector scenes, whose weld keeps this distance.
GRASP_POINT = np.array([0.1347, 0.0, 0.0])

# Damping in proportion to the squared error (Sugihara 2011): strong far away and at a singularity,
# none at the goal.
_DAMPING = 0.1
_LARGEST_STEP_RAD = 0.3
_ITERATIONS = 60
_POSITION_TOLERANCE_M = 1e-4
_ROTATION_TOLERANCE_RAD = 1e-3
_TOLERABLE = 20  # times as far off, 2 mm, is still a good grasp once all iterations are used


class OutOfReach(HandoverError):
    """A pose that no joint angles reach."""


@dataclass(frozen=True)
class GripperPose:
    """Position of the grasp point (3,) in m, and the gripper's axes as columns of a (3, 3) matrix.

    The gripper's x axis points out of the hand, its fingers close along y.
    """

    position: np.ndarray
    rotation: np.ndarray


class ArmKinematics:
    """Kinematics of one arm, on its own model that nothing else steps."""

    def __init__(self, side: Side, scene_path: str) -> None:
        """Load the arm from one of gym-aloha's scenes: Task.scene()."""
        import mujoco  # here, because load_world() chooses OpenGL before anything imports MuJoCo

        self._mujoco: Any = mujoco  # its functions are compiled and have no type stubs
        self.side: Side = side
        self._model = self._mujoco.MjModel.from_xml_path(scene_path)
        self._data = self._mujoco.MjData(self._model)
        self._body = self._model.body(f"vx300s_{side}/gripper_link").id
        joints = [self._model.joint(f"vx300s_{side}/{name}") for name in ARM_JOINTS]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dofs = np.array([joint.dofadr[0] for joint in joints])
        self._low, self._high = np.array([joint.range for joint in joints]).T

    def pose(self, angles: np.ndarray) -> GripperPose:
        """Return the gripper's pose at six joint angles (rad)."""
        self._data.qpos[self._qpos] = angles
        self._mujoco.mj_kinematics(self._model, self._data)
        rotation = self._data.xmat[self._body].reshape(3, 3).copy()
        return GripperPose(self._data.xpos[self._body] + rotation @ GRASP_POINT, rotation)

    def solve(self, target: GripperPose, start: np.ndarray) -> np.ndarray:
        """Find the joint angles nearest to `start` that reach a pose: (6,) -> (6,), rad.

        Raises OutOfReach if the arm's limits prevent it.
        """
        angles = np.array(start, np.float64)
        for _ in range(_ITERATIONS):
            error = self._error(target, angles)
            if self._is_small(error):
                return angles
            jacobian = self._jacobian()
            damped = jacobian @ jacobian.T + _DAMPING * (error @ error) * np.eye(6)
            step = jacobian.T @ np.linalg.solve(damped, error)
            step *= min(1.0, _LARGEST_STEP_RAD / np.abs(step).max())
            angles = np.clip(angles + step, self._low, self._high)
        error = self._error(target, angles)
        if self._is_small(error / _TOLERABLE):
            return angles
        raise OutOfReach(
            f"the {self.side} gripper cannot reach {np.round(target.position, 3)} m in that "
            f"direction: {1e3 * np.linalg.norm(error[:3]):.1f} mm and "
            f"{np.linalg.norm(error[3:]):.3f} rad remain after {_ITERATIONS} iterations"
        )

    def _error(self, target: GripperPose, angles: np.ndarray) -> np.ndarray:
        """Difference of position (m) and rotation vector (rad) to the target: (6,)."""
        pose = self.pose(angles)
        turn = np.empty(4)
        self._mujoco.mju_mat2Quat(turn, (target.rotation @ pose.rotation.T).ravel())
        rotation_vector = np.empty(3)
        self._mujoco.mju_quat2Vel(rotation_vector, turn, 1.0)
        return np.concatenate([target.position - pose.position, rotation_vector])

    def _jacobian(self) -> np.ndarray:
        """Derivative of the grasp point's position and rotation at the last pose: (6, 6)."""
        self._mujoco.mj_comPos(self._model, self._data)
        position, rotation = np.empty((3, self._model.nv)), np.empty((3, self._model.nv))
        point = self._data.xpos[self._body] + (
            self._data.xmat[self._body].reshape(3, 3) @ GRASP_POINT
        )
        self._mujoco.mj_jac(self._model, self._data, position, rotation, point, self._body)
        return np.concatenate([position, rotation])[:, self._dofs]

    @staticmethod
    def _is_small(error: np.ndarray) -> bool:
        return bool(
            np.linalg.norm(error[:3]) < _POSITION_TOLERANCE_M
            and np.linalg.norm(error[3:]) < _ROTATION_TOLERANCE_RAD
        )
