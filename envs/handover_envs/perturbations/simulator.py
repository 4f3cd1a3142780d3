"""Simulated ALOHA in a changed world: the physics are the plain simulator's, from its start on."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from handover_envs.perturbations.axis import Axis, Look
from handover_envs.perturbations.registry import find_axis, parse_change, parse_vary
from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import AlohaSimulator
from handover_envs.tasks.names import TaskName

_CHANGED = ("light_dir", "light_diffuse", "cam_pos", "cam_quat", "cam_mode", "cam_fovy")
_ARRAYS = (*_CHANGED, "geom_rgba")
_SHARE = 0.5  # of the episodes in which an axis takes part, where the world varies


class ChangedSimulator(AlohaSimulator):
    """A simulator whose every episode is changed along one axis, drawn from the episode's seed."""

    def __init__(self, task: TaskName, change: str, look: LookName = "default") -> None:
        """change: AXIS:STRENGTH. Raises UsageError, MissingExtra or GraphicsMissing."""
        found = parse_change(change)
        assert found is not None, "the plain world is AlohaSimulator's"
        self._changes: Sequence[tuple[Axis, int]] = [found]
        super().__init__(task, look)
        self._shapes: list[dict[str, Any]] = []
        self._plain: dict[str, np.ndarray] | None = None

    def reset(self, seed: int) -> np.ndarray:
        """Put robot and objects as the axis has them for a seed, and change what they look like."""
        super().reset(seed)  # the seed is checked, and the camera's own axes are known
        poses, drawn = self.start_poses, []
        for axis, strength in self._changes:
            rng = np.random.default_rng([seed, zlib.crc32(axis.name.encode()), strength])
            poses = axis.move_objects(poses, self.task, strength, rng)
            drawn.append((axis, strength, rng))
        self._start_poses = poses
        self._world_module.reset_world(self._world, poses)
        self._change_look(drawn)
        return self.state

    def _change_look(self, drawn: Sequence[tuple[Axis, int, np.random.Generator]]) -> None:
        model, data = self._world.physics.model, self._world.physics.data
        self._restore(model)
        self._world.physics.forward()
        look = Look(
            *(model.light_dir, model.light_diffuse, np.array(model.vis.headlight.ambient)),
            *(model.cam_pos, model.cam_fovy, {}, model.geom_rgba),
            geoms=_names(model, "geom", model.ngeom),
            boxes=self._world_module.boxes(self._world.physics),
            cameras=_names(model, "camera", model.ncam),
            shapes=[],
        )
        for axis, strength, rng in drawn:
            axis.change_look(look, self.task, self.start_poses, strength, rng)
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

    def _add_shapes(self, physics: Any, scene: Any) -> None:
        self._world_module.add_shapes(scene, physics, self._shapes)


class VariedSimulator(ChangedSimulator):
    """A simulator whose episodes are each changed along some of several axes, by their seeds.

    Each axis takes part in half of the episodes, at a strength from 1 to its largest, all equally
    likely: what a policy is to see in training that is to work in other light.
    """

    def __init__(self, task: TaskName, vary: Sequence[str], look: LookName = "default") -> None:
        """vary: AXIS or AXIS:LARGEST each. Raises UsageError, MissingExtra or GraphicsMissing."""
        self._vary = parse_vary(vary)
        super().__init__(task, f"{next(iter(self._vary))}:1", look)

    @property
    def changes(self) -> dict[str, int]:
        """Strength of each axis that takes part in this episode."""
        return {axis.name: strength for axis, strength in self._changes}

    def reset(self, seed: int) -> np.ndarray:
        """See ChangedSimulator; what takes part is drawn first."""
        rng = np.random.default_rng([seed, zlib.crc32(b"vary")])
        drawn = [
            (find_axis(name), int(rng.integers(1, largest + 1)), rng.random() < _SHARE)
            for name, largest in self._vary.items()
        ]
        self._changes = [(axis, strength) for axis, strength, takes_part in drawn if takes_part]
        return super().reset(seed)


def _names(model: Any, kind: str, count: int) -> dict[str, int]:
    named = {model.id2name(place, kind): place for place in range(count)}
    return {name: place for name, place in named.items() if name}
