"""Worlds of gym-aloha's two tasks, without cameras; the only module that imports gym-aloha.

gym-aloha renders three 480×640 images in every step's observation. Apart from that its tasks are
unchanged: the same physics, rewards and starting poses, bit for bit.
"""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from dm_control import mujoco
from dm_control.rl import control
from gym_aloha.constants import ASSETS_DIR, DT
from gym_aloha.tasks.sim import BOX_POSE, InsertionTask, TransferCubeTask
from gym_aloha.utils import sample_box_pose, sample_insertion_pose

from handover_envs.simulator.tasks import TaskName

# gym-aloha passes the starting poses to its task in BOX_POSE: one for the whole process.
_box_pose_lock = threading.Lock()


class _BlindTransferCube(TransferCubeTask):
    def get_observation(self, physics: Any) -> OrderedDict[str, Any]:
        return OrderedDict()


class _BlindInsertion(InsertionTask):
    def get_observation(self, physics: Any) -> OrderedDict[str, Any]:
        return OrderedDict()


_WORLDS = {
    "transfer_cube": ("bimanual_viperx_transfer_cube.xml", _BlindTransferCube),
    "insertion": ("bimanual_viperx_insertion.xml", _BlindInsertion),
}


def scene_path(task: TaskName) -> str:
    """Return the path of a task's MuJoCo scene in gym-aloha."""
    return str(ASSETS_DIR / _WORLDS[task][0])


def build_world(task: TaskName) -> control.Environment:
    """Build a task's dm_control environment as gym-aloha does, without rendering in its steps."""
    physics = mujoco.Physics.from_xml_path(scene_path(task))
    return control.Environment(
        physics, _WORLDS[task][1](), time_limit=float("inf"), control_timestep=DT
    )


def start_poses(task: TaskName, seed: int) -> np.ndarray:
    """Draw the objects' starting poses as gym-aloha's reset(seed) does: (objects, 7) float64."""
    drawn = sample_box_pose(seed) if task == "transfer_cube" else sample_insertion_pose(seed)
    return np.reshape(drawn, (-1, 7))


def reset_world(world: control.Environment, poses: np.ndarray) -> None:
    """Put the arms at home and the objects at their poses; safe with several worlds and threads."""
    with _box_pose_lock:
        BOX_POSE[0] = poses.ravel()  # pyright: ignore[reportArgumentType, reportCallIssue]
        world.reset()


def joint_state(world: control.Environment) -> np.ndarray:
    """Read gym-aloha's `agent_pos`: (14,) float64, rad, grippers 0 (closed) … 1 (open)."""
    return world.task.get_qpos(world.physics)
