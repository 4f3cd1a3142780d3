"""World of a task in MuJoCo, without cameras; the only module that imports gym-aloha's robot.

gym-aloha renders three 480×640 images in every step's observation. Apart from that its tasks are
unchanged: the same physics, rewards and starting poses, bit for bit.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dm_control import mujoco
from dm_control.mujoco.wrapper import mjbindings
from dm_control.mujoco.wrapper.mjbindings import enums
from dm_control.rl import control
from gym_aloha.constants import DT, START_ARM_POSE
from gym_aloha.tasks.sim import BimanualViperXTask

from handover_envs.tasks.task import Contacts, Task

_MUJOCO: Any = mjbindings.mjlib  # MuJoCo's functions are compiled and have no type stubs


class _SimulatedTask(BimanualViperXTask):
    """A task for dm_control: gym-aloha's robot, the task's objects and rewards, no images."""

    def __init__(self, task: Task, geoms: Sequence[str]) -> None:
        super().__init__()
        self._task, self.geoms = task, geoms
        self.poses = np.zeros((len(task.objects), 7))

    def initialize_episode(self, physics: Any) -> None:
        with physics.reset_context():
            physics.named.data.qpos[: len(START_ARM_POSE)] = START_ARM_POSE
            np.copyto(physics.data.ctrl, START_ARM_POSE)
            physics.named.data.qpos[-self.poses.size :] = self.poses.ravel()
        super().initialize_episode(physics)

    def get_observation(self, physics: Any) -> OrderedDict[str, Any]:
        return OrderedDict()

    def get_reward(self, physics: Any) -> int:
        return self._task.reward(_touching(physics, self.geoms))


def build_world(task: Task) -> control.Environment:
    """Build a task's dm_control environment as gym-aloha does, without rendering in its steps."""
    physics = mujoco.Physics.from_xml_path(task.scene())
    # looking a name up takes MuJoCo's wrapper longer than a tenth of a step, for each contact
    model: Any = physics.model
    geoms: list[str] = [model.id2name(geom, "geom") for geom in range(model.ngeom)]
    return control.Environment(
        physics, _SimulatedTask(task, geoms), time_limit=float("inf"), control_timestep=DT
    )


def reset_world(world: control.Environment, poses: np.ndarray) -> None:
    """Put the arms at home and the objects at their poses, (objects, 7)."""
    world.task.poses = poses
    world.reset()


def contacts(world: control.Environment) -> Contacts:
    """Return what touches what: unordered pairs of geom names."""
    return _touching(world.physics, world.task.geoms)


def _touching(physics: Any, geoms: Sequence[str]) -> Contacts:
    pairs: list[tuple[int, int]] = physics.data.contact.geom[: physics.data.ncon].tolist()
    return frozenset(frozenset((geoms[one], geoms[other])) for one, other in pairs)


def set_quaternion(quaternion: np.ndarray, axes: np.ndarray) -> None:
    """Write the quaternion, (4,) w-x-y-z, of a (3, 3) rotation."""
    _MUJOCO.mju_mat2Quat(quaternion, axes.ravel())


def boxes(physics: Any) -> dict[str, np.ndarray]:
    """Read half the extent of each named geom that is a box: {name: (3,) float64}, in m."""
    model = physics.model
    found = np.flatnonzero(model.geom_type == enums.mjtGeom.mjGEOM_BOX)
    named = {model.id2name(int(place), "geom"): model.geom_size[place].copy() for place in found}
    return {name: half_m for name, half_m in named.items() if name}


def add_shapes(scene: Any, physics: Any, shapes: Sequence[Mapping[str, Any]]) -> None:
    """Add shapes to a scene that is about to be drawn; they are no part of the physics.

    One with a `geom` moves with the geom of that name, and its place is in that geom's frame.
    """
    kinds = {"box": enums.mjtGeom.mjGEOM_BOX, "sphere": enums.mjtGeom.mjGEOM_SPHERE}
    kinds["cylinder"] = enums.mjtGeom.mjGEOM_CYLINDER
    for shape in shapes:
        if scene.ngeom >= scene.maxgeom:
            return
        scene.ngeom += 1
        place, axes = np.array(shape["pos"], np.float64), np.eye(3)
        if "geom" in shape:
            geom = physics.model.name2id(shape["geom"], "geom")
            axes = physics.data.geom_xmat[geom].reshape(3, 3)
            place = physics.data.geom_xpos[geom] + axes @ place
        _MUJOCO.mjv_initGeom(
            scene.geoms[scene.ngeom - 1],
            kinds[shape["type"]],
            np.array(shape["size"], np.float64),
            place,
            axes.ravel(),
            np.array(shape["rgba"], np.float32),
        )


def joint_state(world: control.Environment) -> np.ndarray:
    """Read gym-aloha's `agent_pos`: (14,) float64, rad, grippers 0 (closed) … 1 (open)."""
    return world.task.get_qpos(world.physics)


def joint_limits(physics: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read the joints' ranges from the model: (14,) low and high, rad, grippers 0 … 1."""
    names = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
    sides = [
        [*(physics.named.model.jnt_range[f"vx300s_{side}/{name}"] for name in names), (0.0, 1.0)]
        for side in ("left", "right")
    ]
    low, high = np.array(sides, np.float64).reshape(-1, 2).T
    return low.copy(), high.copy()
