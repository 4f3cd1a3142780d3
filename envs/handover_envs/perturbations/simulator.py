"""Simulated ALOHA in a changed world: the physics are the plain simulator's, from its start on."""

import zlib
from typing import Any

import numpy as np

from handover_envs.perturbations.axis import Look
from handover_envs.perturbations.registry import parse_change
from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import AlohaSimulator
from handover_envs.tasks.names import TaskName

_CHANGED = ("light_dir", "light_diffuse", "cam_pos", "cam_quat", "cam_mode", "cam_fovy")
_ARRAYS = (*_CHANGED, "geom_rgba")


class ChangedSimulator(AlohaSimulator):
    """A simulator whose every episode is changed along one axis, drawn from the episode's seed."""

    def __init__(self, task: TaskName, change: str, look: LookName = "default") -> None:
        """change: AXIS:STRENGTH. Raises UsageError, MissingExtra or GraphicsMissing."""
        found = parse_change(change)
        assert found is not None, "the plain world is AlohaSimulator's"
        self._axis, self._strength = found
        super().__init__(task, look)
        self._shapes: list[dict[str, Any]] = []
        self._plain: dict[str, np.ndarray] | None = None

    def reset(self, seed: int) -> np.ndarray:
        """Put robot and objects as the axis has them for a seed, and change what they look like."""
        super().reset(seed)  # the seed is checked, and the camera's own axes are known
        rng = np.random.default_rng([seed, zlib.crc32(self._axis.name.encode()), self._strength])
        poses = self._axis.move_objects(self.start_poses, self.task, self._strength, rng)
        self._start_poses = poses
        self._world_module.reset_world(self._world, poses)
        self._change_look(rng)
        return self.state

    def _change_look(self, rng: np.random.Generator) -> None:
        model, data = self._world.physics.model, self._world.physics.data
        self._restore(model)
        self._world.physics.forward()
        look = Look(
            *(model.light_dir, model.light_diffuse, np.array(model.vis.headlight.ambient)),
            *(model.cam_pos, model.cam_fovy, {}, model.geom_rgba),
            geoms=_names(model, "geom", model.ngeom),
            cameras=_names(model, "camera", model.ncam),
            shapes=[],
        )
        self._axis.change_look(look, self.task, self.start_poses, self._strength, rng)
        model.vis.headlight.ambient[:] = look.headlight
        for camera, turned in look.turns.items():
            # a camera that looks at a body keeps looking at it, so it is turned as a fixed one
            body = data.xmat[model.cam_bodyid[camera]].reshape(3, 3)
            axes = body.T @ turned @ data.cam_xmat[camera].reshape(3, 3)
            model.cam_mode[camera] = 0
            self._world_module.set_quaternion(model.cam_quat[camera], axes)
        self._shapes = look.shapes
        self._world.physics.forward()

    def _restore(self, model: Any) -> None:
        """Put the model's looks back as the scene has them."""
        if self._plain is None:
            self._plain = {name: getattr(model, name).copy() for name in _ARRAYS}
            self._ambient = np.array(model.vis.headlight.ambient)
        for name, values in self._plain.items():
            getattr(model, name)[:] = values
        model.vis.headlight.ambient[:] = self._ambient

    def _draw(self, physics: Any, camera: str, height: int, width: int) -> np.ndarray:
        if physics is not self._world.physics:  # of a past moment: the same world
            source = self._world.physics.model
            for name in _ARRAYS:
                getattr(physics.model, name)[:] = getattr(source, name)
            physics.model.vis.headlight.ambient[:] = source.vis.headlight.ambient
            physics.forward()
        return super()._draw(physics, camera, height, width)

    def _add_shapes(self, scene: Any) -> None:
        self._world_module.add_shapes(scene, self._shapes)


def _names(model: Any, kind: str, count: int) -> dict[str, int]:
    named = {model.id2name(place, kind): place for place in range(count)}
    return {name: place for name, place in named.items() if name}
