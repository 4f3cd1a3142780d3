"""Worker of a recording: the expert acts one demonstration; a success is filmed and measured."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from handover_conversion.lerobot import RecordingCodec, VideoRecorder

from handover_envs.experts.expert import Expert
from handover_envs.simulator.rendering import LookName
from handover_envs.simulator.simulator import FRAME_HEIGHT, FRAME_WIDTH, AlohaSimulator
from handover_envs.simulator.tasks import CONTROL_RATE_HZ, SUCCESS_REWARD, TaskName

_COMPARED_STEPS = (0, 150, 300)  # arms at home, at work near the objects, and together


@dataclass(frozen=True)
class DemonstrationTask:
    """One demonstration to record."""

    task: TaskName
    seed: int
    look: LookName
    codec: RecordingCodec


@dataclass(frozen=True)
class RenderDifference:
    """Difference of a look from the default one on the same scenes, in levels of 0 … 255."""

    frames: int
    mean_levels: float
    share_above_8_levels: float


@dataclass(frozen=True)
class Demonstration:
    """A success: state before each step and action, (400, 14) float32 each; and the video."""

    seed: int
    state: np.ndarray
    action: np.ndarray
    rewards: np.ndarray
    start_poses: np.ndarray
    video: bytes
    image_statistics: dict[str, list]
    look_difference: RenderDifference | None

    def __len__(self) -> int:
        return len(self.state)

    def summary(self) -> dict[str, Any]:
        """Return this episode's entry in the dataset's record."""
        return {
            "seed": self.seed,
            "first_success_step": int(np.argmax(self.rewards == SUCCESS_REWARD)),
            "start_poses": self.start_poses.tolist(),
        }


def demonstrate(task: DemonstrationTask) -> Demonstration | None:
    """Play a seed's trajectory, and film it if its last step is at reward 4; None if it is not.

    Physics takes half a second and rendering many, so the episode is first played unrendered.
    """
    action = _expert(task.task).plan(task.seed).targets
    simulator = _simulator(task.task, task.look)
    simulator.reset(task.seed)
    rewards = np.array([simulator.step(targets) for targets in action])
    if rewards[-1] != SUCCESS_REWARD:
        return None
    simulator.reset(task.seed)
    states = np.empty(action.shape, np.float32)
    kept: dict[int, np.ndarray] = {}
    size = {"height": FRAME_HEIGHT, "width": FRAME_WIDTH, "length": len(action)}
    with VideoRecorder(task.codec, CONTROL_RATE_HZ, **size) as recorder:
        for step, targets in enumerate(action):
            states[step] = simulator.state
            frame = simulator.render()
            recorder.add(frame)
            if step in _COMPARED_STEPS:
                kept[step] = frame
            simulator.step(targets)
    return Demonstration(
        seed=task.seed,
        state=states,
        action=action,
        rewards=rewards,
        start_poses=simulator.start_poses,
        video=recorder.video,
        image_statistics=recorder.statistics,
        look_difference=None if task.look == "default" else _compare(task, action, kept),
    )


def _compare(
    task: DemonstrationTask, action: np.ndarray, frames: dict[int, np.ndarray]
) -> RenderDifference:
    """Render some steps again in the default look."""
    simulator = _simulator(task.task, "default")
    simulator.reset(task.seed)
    differences = []
    for step in range(max(frames) + 1):
        if step in frames:
            differences.append(np.abs(simulator.render().astype(int) - frames[step]))
        simulator.step(action[step])
    levels = np.stack(differences)
    return RenderDifference(len(frames), float(levels.mean()), float((levels > 8).mean()))


def join_differences(differences: Iterable[RenderDifference]) -> RenderDifference | None:
    """Average over episodes; None if there are none."""
    parts = list(differences)
    frames = sum(part.frames for part in parts)
    if frames == 0:
        return None
    return RenderDifference(
        frames,
        sum(part.mean_levels * part.frames for part in parts) / frames,
        sum(part.share_above_8_levels * part.frames for part in parts) / frames,
    )


# A worker plays many episodes: these keep what takes seconds to load. Each reset starts afresh.
@lru_cache(maxsize=1)
def _expert(task: TaskName) -> Expert:
    return Expert(task)


@lru_cache(maxsize=2)
def _simulator(task: TaskName, look: LookName) -> AlohaSimulator:
    return AlohaSimulator(task, look)
