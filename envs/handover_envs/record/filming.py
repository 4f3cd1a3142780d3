"""Filming of an episode whose targets are known: its rows and its cameras' videos, at any rate.

Physics runs at 50 Hz, whatever the rate of the rows: row k is at k / fps seconds, made of the
control steps as `handover convert` makes it of a 50 Hz recording, so the two roads end alike.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from handover_conversion.lerobot import RecordingCodec, VideoRecorder

from handover_envs.experts.expert import Trajectory, joints_at, nearest_steps
from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import FRAME_HEIGHT, FRAME_WIDTH, AlohaSimulator
from handover_envs.tasks.task import CONTROL_RATE_HZ

# of an episode: arms at home, at work near the objects, and together
_COMPARED = (0.0, 0.375, 0.75)


@dataclass(frozen=True)
class Film:
    """How episodes are filmed; cameras are {name in the dataset: the simulator's camera}."""

    cameras: Mapping[str, str]
    fps: int
    image_size: int | None  # of square frames; None for 480×640
    look: LookName
    codec: RecordingCodec
    vary: tuple[str, ...] = ()  # axes along which the world varies

    @property
    def height_width(self) -> tuple[int, int]:
        """Size of every frame, in pixels."""
        if self.image_size is None:
            return FRAME_HEIGHT, FRAME_WIDTH
        return self.image_size, self.image_size

    def times_s(self, steps: int) -> np.ndarray:
        """Times of the rows that lie within so many control steps: (rows,)."""
        rows = (steps - 1) * self.fps // CONTROL_RATE_HZ + 1
        return np.arange(rows) / self.fps


@dataclass(frozen=True)
class RenderDifference:
    """Difference of a look from the default one on the same scenes, in levels of 0 … 255."""

    frames: int
    mean_levels: float
    share_above_8_levels: float


@dataclass(frozen=True)
class FilmedEpisode:
    """Rows and videos of an episode: state and action are (rows, 14) float32, videos are mp4s."""

    state: np.ndarray
    action: np.ndarray
    videos: dict[str, bytes]
    image_statistics: dict[str, dict[str, list]]
    look_difference: RenderDifference | None


def film(
    simulator: AlohaSimulator,
    plain: AlohaSimulator | None,
    plan: Trajectory,
    film: Film,
    played: np.ndarray | None = None,
) -> FilmedEpisode:
    """Play a plan from where the simulator is, and film it.

    plain: a simulator of the default look, to compare some frames with
    played: what the robot is told instead of the plan's targets; actions are the plan's anyway
    """
    times_s = film.times_s(len(plan.targets))
    drawn_at = nearest_steps(times_s, len(plan.targets)).tolist()
    compared_at = {drawn_at[int(share * len(drawn_at))] for share in _COMPARED}
    states: list[np.ndarray] = []
    differences: list[np.ndarray] = []
    height, width = film.height_width
    with ExitStack() as stack:
        recorders = {
            name: stack.enter_context(
                VideoRecorder(film.codec, film.fps, height, width, len(drawn_at))
            )
            for name in film.cameras
        }
        for step, targets in enumerate(plan.targets if played is None else played):
            states.append(simulator.state.astype(np.float32))
            if step in drawn_at:
                frames = _draw(simulator, film)
                for name, frame in frames.items():
                    recorders[name].add(frame)
                if plain and step in compared_at:
                    plain.show(simulator.qpos)
                    differences += _differences(frames, _draw(plain, film))
            simulator.step(targets)
    return FilmedEpisode(
        state=joints_at(np.array(states), times_s),
        action=plan.at(times_s),
        videos={name: recorder.video for name, recorder in recorders.items()},
        image_statistics={name: recorder.statistics for name, recorder in recorders.items()},
        look_difference=_summarise(differences) if plain else None,
    )


def join_differences(differences: list[RenderDifference]) -> RenderDifference | None:
    """Average over episodes; None if there are none."""
    frames = sum(part.frames for part in differences)
    if frames == 0:
        return None
    return RenderDifference(
        frames,
        sum(part.mean_levels * part.frames for part in differences) / frames,
        sum(part.share_above_8_levels * part.frames for part in differences) / frames,
    )


def _draw(simulator: AlohaSimulator, film: Film) -> dict[str, np.ndarray]:
    return {
        name: simulator.render(film.image_size, camera) for name, camera in film.cameras.items()
    }


def _differences(frames: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [np.abs(frames[name].astype(int) - others[name]) for name in frames]


def _summarise(differences: list[np.ndarray]) -> RenderDifference:
    levels = np.stack(differences)
    return RenderDifference(len(levels), float(levels.mean()), float((levels > 8).mean()))
