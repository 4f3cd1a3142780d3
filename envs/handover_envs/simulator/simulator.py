"""Simulated ALOHA robot: gym-aloha's physics bit for bit, rendered only on request."""

from typing import Any

import numpy as np
from handover_common import HandoverError, UsageError
from handover_conversion.video import square_resize
from handover_proto import ALOHA_JOINTS
from PIL import Image

from handover_envs.simulator.loading import load_world
from handover_envs.simulator.rendering import LOOKS, LookName, apply_look, graphics_missing
from handover_envs.tasks.names import TaskName
from handover_envs.tasks.registry import find_task
from handover_envs.tasks.task import Contacts, Task

FRAME_HEIGHT, FRAME_WIDTH = 480, 640  # gym-aloha's cameras
TOP_CAMERA = "top"


class SimulationFailed(HandoverError):
    """Wrong use of the simulator, or physics that diverged."""


class AlohaSimulator:
    """One simulated robot at one table; use it from one thread.

    `step` advances 20 ms (50 Hz) without rendering; `render` draws the top camera. Targets
    are never clipped to gym-aloha's `action_space` ([-1, 1], though joints are in rad), and an
    episode ends when the caller decides. Several simulators may live in one process.
    """

    def __init__(self, task: TaskName | Task = "transfer_cube", look: LookName = "default") -> None:
        """Build the world. Raises UsageError, MissingExtra or GraphicsMissing."""
        self.task = task if isinstance(task, Task) else find_task(task)
        if look not in LOOKS:
            raise UsageError(f"unknown look {look!r}; expected one of: {', '.join(LOOKS)}")
        self.look: LookName = look
        self._world_module = load_world()
        self._world = self._world_module.build_world(self.task)
        apply_look(self._world.physics, look)
        self._past: Any = None
        self._start_poses: np.ndarray | None = None
        self.reward = 0
        self.steps = 0

    def reset(self, seed: int) -> np.ndarray:
        """Put the robot at home and the objects where the task has them for a seed.

        Return the state, (14,) float64. Raises UsageError for a seed outside 0 … 2³² − 1.
        """
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed {seed}: expected 0 <= seed < 2**32")
        self._start_poses = self.task.start_poses(seed)
        self._world_module.reset_world(self._world, self._start_poses)
        self.reward = 0
        self.steps = 0
        return self.state

    def step(self, targets: np.ndarray) -> int:
        """Hold joint targets for 20 ms: (14,), rad, grippers 0 … 1; returns the reward, 0 … 4.

        Raises SimulationFailed for targets of another shape or not finite, before the first
        reset, and when the physics diverge.
        """
        targets = self._check(targets)
        if self._start_poses is None:
            raise SimulationFailed("the simulator was stepped before its first reset(seed)")
        try:
            time_step = self._world.step(targets)
        except self._world_module.control.PhysicsError as error:
            raise SimulationFailed(
                f"the physics diverged at step {self.steps} ({error}); check the targets: {targets}"
            ) from error
        self.reward = int(time_step.reward)
        self.steps += 1
        return self.reward

    @property
    def state(self) -> np.ndarray:
        """The joint positions: (14,) float64, rad, grippers 0 (closed) … 1 (open)."""
        return self._world_module.joint_state(self._world)

    @property
    def qpos(self) -> np.ndarray:
        """MuJoCo's generalized positions of robot and objects: (nq,) float64, m and rad."""
        return self._world.physics.data.qpos.copy()

    @property
    def start_poses(self) -> np.ndarray:
        """Where the objects were put at reset: (objects, 7) float64, m and w-x-y-z quaternions."""
        if self._start_poses is None:
            raise SimulationFailed("no start poses before the first reset(seed)")
        return self._start_poses.copy()

    @property
    def object_poses(self) -> np.ndarray:
        """Where the objects are now: (objects, 7) float64, m and w-x-y-z quaternions."""
        count = len(self.task.objects)
        return self.qpos[-7 * count :].reshape(count, 7)

    @property
    def is_held(self) -> bool:
        """Whether the task is done for good at this moment, a stricter test than reward 4."""
        return self.task.is_held(self.contacts())

    @property
    def joint_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest joint positions: (14,) float64 each, rad, grippers 0 … 1."""
        return self._world_module.joint_limits(self._world.physics)

    def show(self, qpos: np.ndarray) -> None:
        """Put robot and objects where another simulator has them, (nq,), to draw them there."""
        physics = self._world.physics
        physics.data.qpos[:] = qpos
        physics.forward()

    def contacts(self) -> Contacts:
        """Return what touches what: unordered pairs of geom names."""
        return self._world_module.contacts(self._world)

    def render(
        self,
        size: int | tuple[int, int] | None = None,
        camera: str = TOP_CAMERA,
        qpos: np.ndarray | None = None,
    ) -> np.ndarray:
        """Draw one camera, now or at generalized positions of the past: (height, width, 3) uint8.

        size: None for 480×640; a square's side, cropped and resized as conversion does; or
            (height, width)

        Raises UsageError for a size below 1 or a camera that the scene does not have,
        GraphicsMissing where rendering is not possible.
        """
        physics = self._world.physics if qpos is None else self._ghost(qpos)
        height, width = (size, size) if isinstance(size, int) else size or (0, 0)
        if size is not None and min(height, width) < 1:
            raise UsageError(f"an image of size {size}: expected at least 1 pixel")
        if height == width and size is not None:
            return square_resize(self._draw(physics, camera, FRAME_HEIGHT, FRAME_WIDTH), height)
        if size is None:
            height, width = FRAME_HEIGHT, FRAME_WIDTH
        scale = min(1.0, FRAME_HEIGHT / height, FRAME_WIDTH / width)  # MuJoCo's buffer is so large
        drawn = self._draw(physics, camera, round(height * scale), round(width * scale))
        if scale == 1.0:
            return drawn
        return np.asarray(Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC))

    def _ghost(self, qpos: np.ndarray) -> Any:
        """Put a second model of the scene, which is only drawn, to places of the past."""
        if self._past is None:
            self._past = self._world_module.build_world(self.task).physics
            apply_look(self._past, self.look)
        self._past.data.qpos[:] = qpos
        self._past.forward()
        return self._past

    def _draw(self, physics: Any, camera: str, height: int, width: int) -> np.ndarray:
        if camera not in self.task.cameras:
            raise UsageError(
                f"the scene of {self.task.name} has no camera {camera!r}; it has: "
                f"{', '.join(self.task.cameras)}"
            )
        try:
            _ = physics.contexts  # created on the first render, where a missing driver shows
        except Exception as error:  # each OpenGL backend has its own errors
            raise graphics_missing(error) from error
        return physics.render(
            height,
            width,
            camera_id=camera,
            scene_callback=lambda physics, scene: self._add_shapes(physics, scene),
        )

    def _add_shapes(self, physics: Any, scene: Any) -> None:
        """Add to what is drawn; here nothing."""

    def close(self) -> None:
        """Free the rendering contexts."""
        self._world.physics.free()
        if self._past is not None:
            self._past.free()

    def __enter__(self) -> "AlohaSimulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, targets: np.ndarray) -> np.ndarray:
        # the dtype is kept: gym-aloha's arithmetic differs between float32 and float64
        targets = np.asarray(targets)
        if targets.shape != (len(ALOHA_JOINTS),):
            raise SimulationFailed(
                f"targets have shape {targets.shape}, expected (14,): {', '.join(ALOHA_JOINTS)}"
            )
        if not np.isfinite(targets).all():
            bad = [ALOHA_JOINTS[joint] for joint in np.flatnonzero(~np.isfinite(targets))]
            raise SimulationFailed(f"targets are not finite numbers for: {', '.join(bad)}")
        return targets
