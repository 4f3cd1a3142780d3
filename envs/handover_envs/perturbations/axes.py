"""Axes of the robustness suite: light, camera, colours, distractors, start pose, words, latency."""

import colorsys
import re

import numpy as np

from handover_envs.perturbations.axis import Axis, Delay, Look, turn, unit_vector
from handover_envs.tasks.task import Task

_TABLE = "table"
_TABLE_HALF_M = np.array([0.55, 0.3])  # half of what the top camera sees of it
_TABLE_MIDDLE_M = np.array([0.0, 0.6])
_POSES_SAMPLED = 200  # of a task's start poses, whose extent is the range of training
_COVER_M = 3e-4  # by which a band is thicker than what it is around
_FREE_M = 0.09  # between a distractor and an object


class Light(Axis):
    """Direction, strength and colour of the lamps."""

    name = "light"
    strengths = ("15°, ±20 %, tint 5 %", "35°, ±40 %, tint 15 %", "60°, ±60 %, tint 30 %")

    def change_look(
        self, look: Look, task: Task, poses: np.ndarray, strength: int, rng: np.random.Generator
    ) -> None:
        """See Axis."""
        angle, change, tint = ((15, 0.2, 0.05), (35, 0.4, 0.15), (60, 0.6, 0.3))[strength - 1]
        swing = turn(unit_vector(rng), np.radians(angle))
        look.light_dir[:] = look.light_dir @ swing.T
        brightness = 1 + change * (1 if rng.random() < 0.5 else -1)
        colour = brightness * (1 + rng.uniform(-tint, tint, 3))
        look.light_diffuse *= colour
        look.headlight *= colour


class Camera(Axis):
    """Place, direction and field of view of every camera."""

    name = "camera"
    strengths = ("1 cm, 1°, field ±1°", "3 cm, 3°, field ±3°", "6 cm, 6°, field ±6°")

    def change_look(
        self, look: Look, task: Task, poses: np.ndarray, strength: int, rng: np.random.Generator
    ) -> None:
        """See Axis."""
        size = (1, 3, 6)[strength - 1]
        for camera in sorted(look.cameras.values()):
            look.cam_pos[camera] += 0.01 * size * unit_vector(rng)
            look.turns[camera] = turn(unit_vector(rng), np.radians(size))
            look.cam_fovy[camera] += size * (1 if rng.random() < 0.5 else -1)


class Colours(Axis):
    """Colours of table and objects, and patterns on them."""

    name = "colours"
    strengths = (
        "shades ±10 %",
        "hues ±30°, striped table, a band around each object",
        "any hue, chequered table, two bands",
    )

    def change_look(
        self, look: Look, task: Task, poses: np.ndarray, strength: int, rng: np.random.Generator
    ) -> None:
        """See Axis."""
        hue_range, shade = ((0.0, 0.1), (30 / 360, 0.2), (0.5, 0.3))[strength - 1]
        for name, geom in look.geoms.items():
            if name.startswith("vx300s"):
                continue
            hue, saturation, value = colorsys.rgb_to_hsv(*look.geom_rgba[geom, :3])
            hue += rng.uniform(-hue_range, hue_range)
            if strength > 1 and name == _TABLE:
                saturation = rng.uniform(0, 0.2 * strength)
            value = np.clip(value * (1 + rng.uniform(-shade, shade)), 0, 1)
            look.geom_rgba[geom, :3] = colorsys.hsv_to_rgb(hue % 1, saturation, value)
        if strength > 1:
            self._draw_table(look, strength, rng)
            for name, half_m in look.boxes.items():
                if name != _TABLE and not name.startswith("vx300s"):
                    self._draw_bands(look, name, half_m, strength - 1, rng)

    def _draw_bands(
        self, look: Look, name: str, half_m: np.ndarray, bands: int, rng: np.random.Generator
    ) -> None:
        """Draw bands around an object, across its longest side, as wide as what is between."""
        colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1), rng.uniform(0.3, 1))
        along, parts = int(half_m.argmax()), 2 * bands + 1
        size = half_m + _COVER_M
        size[along] = half_m[along] / parts
        for part in range(1, parts, 2):
            place = np.zeros(3)
            place[along] = size[along] * (2 * part + 1) - half_m[along]
            shape = {"type": "box", "size": size.tolist(), "pos": place.tolist()}
            look.shapes.append({**shape, "rgba": [*colour, 1.0], "geom": name})

    def _draw_table(self, look: Look, strength: int, rng: np.random.Generator) -> None:
        colour = np.clip(look.geom_rgba[look.geoms[_TABLE], :3] + rng.uniform(0.08, 0.2), 0, 1)
        columns, rows = 12, (1 if strength == 2 else 6)
        half = _TABLE_HALF_M / (columns, rows)
        for column in range(columns):
            for row in range(rows):
                if (column + row) % 2:
                    middle = _TABLE_MIDDLE_M - _TABLE_HALF_M + half * (2 * column + 1, 2 * row + 1)
                    # thin enough that what lies on the table covers it
                    shape = {"type": "box", "size": [*half, 2e-4], "pos": [*middle, 2e-4]}
                    look.shapes.append({**shape, "rgba": [*colour, 1.0]})


class Distractors(Axis):
    """Things that lie about; they are drawn, and nothing can touch them."""

    name = "distractors"
    strengths = ("1 thing", "3 things", "6 things")

    def change_look(
        self, look: Look, task: Task, poses: np.ndarray, strength: int, rng: np.random.Generator
    ) -> None:
        """See Axis."""
        taken = [pose[:2] for pose in poses]
        for _ in range((1, 3, 6)[strength - 1]):
            places = rng.uniform((-0.35, 0.38), (0.35, 0.8), (100, 2))
            free = np.linalg.norm(places[:, None] - np.array(taken), axis=2).min(axis=1)
            place = places[np.argmax(free > _FREE_M)]
            taken.append(place)
            half = rng.uniform(0.01, 0.025)
            kind = str(rng.choice(["box", "sphere", "cylinder"]))
            colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1), rng.uniform(0.3, 1))
            shape = {"type": kind, "size": [half] * 3, "pos": [*place, half]}
            look.shapes.append({**shape, "rgba": [*colour, 1.0]})


class StartPose(Axis):
    """Objects that start beyond the range of training, which is the extent of the task's poses."""

    name = "start_pose"
    strengths = ("up to 1 cm beyond", "1 … 2 cm beyond", "2 … 4 cm beyond")

    def move_objects(
        self, poses: np.ndarray, task: Task, strength: int, rng: np.random.Generator
    ) -> np.ndarray:
        """See Axis."""
        sampled = np.stack([task.start_poses(seed) for seed in range(_POSES_SAMPLED)])
        low, high = sampled[..., :2].min(axis=0), sampled[..., :2].max(axis=0)
        nearest_m, furthest_m = ((0.0, 0.01), (0.01, 0.02), (0.02, 0.04))[strength - 1]
        moved = poses.copy()
        for place in range(len(poses)):
            side, beyond = int(rng.integers(2)), rng.uniform(nearest_m, furthest_m)
            is_high = rng.random() < 0.5
            edge = high[place, side] + beyond if is_high else low[place, side] - beyond
            moved[place, side] = edge
        return moved


class Words(Axis):
    """The instruction in other words."""

    name = "instruction"
    strengths = ("case and stop", "synonyms", "another sentence")

    _SYNONYMS = (
        ("pick up", "grab"),
        ("transfer it to", "hand it over to"),
        ("insert", "put"),
        ("cube", "block"),
        ("peg", "pin"),
        ("arm", "hand"),
    )

    def reword(self, text: str, strength: int) -> str:
        """See Axis. Without synonyms that it knows the text stays, which `unchanged` tells."""
        plain = words = text.strip().rstrip(".").lower()
        if strength == 1:
            return words
        for word, other in self._SYNONYMS:
            words = re.sub(rf"\b{word}\b", other, words)
        if strength == 2 and words == plain:
            return text
        if strength == 2:
            return f"{words[:1].upper()}{words[1:]}."
        return f"What I would like you to do now is this: {words}, please!"


class Latency(Axis):
    """Chunks that come late, by more and more uneven times; the robot goes on meanwhile."""

    name = "latency"
    strengths = ("100 ± 50 ms", "200 ± 100 ms", "300 ± 150 ms")

    def delay(self, strength: int) -> Delay:
        """See Axis."""
        return Delay(100.0 * strength, 50.0 * strength)
