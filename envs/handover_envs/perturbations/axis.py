"""Interface of an axis: what may change in the world, at three strengths.

An axis of one's own is a subclass of Axis, named in the entry points of `handover.axes`; it
overrides what it changes. Nothing here is called for the control: its world is the plain one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from handover_envs.tasks.task import Task


@dataclass
class Look:
    """What of a MuJoCo model may be changed for an episode: none of it takes part in the physics.

    The arrays are the model's own, (lights, 3), (cameras, …) and (geoms, 4); they are put back
    before the next episode. `shapes` are drawn, and neither touched nor touching.
    """

    light_dir: np.ndarray
    light_diffuse: np.ndarray
    headlight: np.ndarray  # ambient of the headlight, (3,)
    cam_pos: np.ndarray
    cam_fovy: np.ndarray  # degrees
    turns: dict[int, np.ndarray]  # {camera: (3, 3) turn of its axes}, filled in by an axis
    geom_rgba: np.ndarray
    geoms: dict[str, int]  # {name: its row}
    boxes: dict[str, np.ndarray]  # {name of a geom that is one: half its extent, (3,), m}
    cameras: dict[str, int]
    shapes: list[dict[str, Any]]  # type, size (3,), pos (3,), rgba (4,); geom: moves with that one


@dataclass(frozen=True)
class Delay:
    """Latency of every chunk, in simulated time: uniform within plus or minus the jitter."""

    latency_ms: float = 0.0
    jitter_ms: float = 0.0


class Axis:
    """One way in which the world may differ; `strength` is 1 (mild), 2 or 3 (hard).

    strengths: what the three are, in words and units, for reports
    """

    name = ""
    strengths: tuple[str, str, str] = ("", "", "")

    def change_look(
        self, look: Look, task: Task, poses: np.ndarray, strength: int, rng: np.random.Generator
    ) -> None:
        """Change in place what an episode looks like; poses: of the objects, (objects, 7)."""

    def move_objects(
        self, poses: np.ndarray, task: Task, strength: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Return other start poses of the objects: (objects, 7)."""
        return poses

    def reword(self, text: str, strength: int) -> str:
        """Return another instruction of the same meaning."""
        return text

    def delay(self, strength: int) -> Delay:
        """Return what the policy's chunks are delayed by."""
        return Delay()


def turn(axis: np.ndarray, angle_rad: float) -> np.ndarray:
    """Rotation about an axis by an angle (Rodrigues): (3,) -> (3, 3)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross


def unit_vector(rng: np.random.Generator, flat: bool = False) -> np.ndarray:
    """Draw a direction, all equally likely; flat: in the plane of the table."""
    drawn = rng.normal(size=3) * ((1, 1, 0) if flat else (1, 1, 1))
    return drawn / np.linalg.norm(drawn)
