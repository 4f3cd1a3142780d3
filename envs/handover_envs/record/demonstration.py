"""One demonstration in a worker: the expert acts; a success is filmed and measured."""

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
    """What a worker is asked for."""

    task: TaskName
    seed: int
    look: LookName
    codec: RecordingCodec


@dataclass(frozen=True)
class RenderDifference:
    """How far a look is from the default one on the same scenes, in levels of 0 … 255."""

    frames: int
    mean_levels: float
    share_above_8_levels: float


@dataclass(frozen=True)
class Demonstration:
    """A success: state before, and action of, each step: (400, 14) float32; and its film."""

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
        """Tell what the dataset's record says of this episode."""
        return {
            "seed": self.seed,
            "first_success_step": int(np.argmax(self.rewards == SUCCESS_REWARD)),
            "start_poses": self.start_poses.tolist(),
        }


def demonstrate(order: DemonstrationTask) -> Demonstration | None:
    """Act out a seed's plan, and film it if its last step is at reward 4; None if it is not.

    Physics take half a second and drawing many, so the episode is acted once unseen.
    """
    action = _expert(order.task).plan(order.seed).targets
    simulator = _simulator(order.task, order.look)
    simulator.reset(order.seed)
    rewards = np.array([simulator.step(targets) for targets in action])
    if rewards[-1] != SUCCESS_REWARD:
        return None
    simulator.reset(order.seed)
    states = np.empty(action.shape, np.float32)
    kept: dict[int, np.ndarray] = {}
    size = {"height": FRAME_HEIGHT, "width": FRAME_WIDTH, "length": len(action)}
    with VideoRecorder(order.codec, CONTROL_RATE_HZ, **size) as recorder:
        for step, targets in enumerate(action):
            states[step] = simulator.state
            frame = simulator.render()
            recorder.add(frame)
            if step in _COMPARED_STEPS:
                kept[step] = frame
            simulator.step(targets)
    return Demonstration(
        seed=order.seed,
        state=states,
        action=action,
        rewards=rewards,
        start_poses=simulator.start_poses,
        video=recorder.video,
        image_statistics=recorder.statistics,
        look_difference=None if order.look == "default" else _compare(order, action, kept),
    )


def _compare(
    order: DemonstrationTask, action: np.ndarray, frames: dict[int, np.ndarray]
) -> RenderDifference:
    """Draw some steps again in the default look."""
    simulator = _simulator(order.task, "default")
    simulator.reset(order.seed)
    differences = []
    for step in range(max(frames) + 1):
        if step in frames:
            differences.append(np.abs(simulator.render().astype(int) - frames[step]))
        simulator.step(action[step])
    levels = np.stack(differences)
    return RenderDifference(len(frames), float(levels.mean()), float((levels > 8).mean()))


def join_differences(differences: Iterable[RenderDifference]) -> RenderDifference | None:
    """Average over episodes; None when there are none."""
    parts = list(differences)
    frames = sum(part.frames for part in parts)
    if frames == 0:
        return None
    return RenderDifference(
        frames,
        sum(part.mean_levels * part.frames for part in parts) / frames,
        sum(part.share_above_8_levels * part.frames for part in parts) / frames,
    )


# A worker acts many episodes: these keep what takes seconds to load. Each reset starts anew.
@lru_cache(maxsize=1)
def _expert(task: TaskName) -> Expert:
    return Expert(task)


@lru_cache(maxsize=2)
def _simulator(task: TaskName, look: LookName) -> AlohaSimulator:
    return AlohaSimulator(task, look)
