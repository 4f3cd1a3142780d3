"""ALOHA's tasks as a benchmark of vla-eval, so that any of its models is judged here.

benchmarks:
  - benchmark: handover_client.vla_eval.benchmark:AlohaBenchmark
    episodes_per_task: 50
    params: {task: transfer_cube, seed: 1000}
"""

from typing import Any, ClassVar

import numpy as np
from handover_common import UsageError
from handover_envs.simulator import AlohaSimulator, check_packages
from handover_envs.tasks import SUCCESS_REWARD, find_task
from vla_eval.benchmarks.base import (  # pyright: ignore[reportMissingImports]
    StepBenchmark,
    StepResult,
)
from vla_eval.specs import IMAGE_RGB, LANGUAGE, DimSpec  # pyright: ignore[reportMissingImports]

from handover_client.rollout.record import EpisodeScore


class AlohaBenchmark(StepBenchmark):
    """A task of the simulated ALOHA, judged as `handover rollout` judges it.

    An observation has `images` (uint8, (height, width, 3)), `state` (14 joints, rad, grippers
    0 … 1) and `task_description`; an action is 14 joint targets for one control step of 20 ms, or
    (steps, 14) for several, of which no frame is drawn in between.
    """

    render_backends: ClassVar[frozenset[str]] = frozenset({"gpu", "cpu"})

    def __init__(
        self,
        task: str = "transfer_cube",
        seed: int = 1000,
        max_steps: int = 400,
        cameras: dict[str, list[Any]] | None = None,
    ) -> None:
        """Raises HandoverError for an unknown task or camera, and without MuJoCo.

        seed: episode i starts from seed + i, as rollout's
        cameras: {name in `images`: [the simulator's camera, height, width]}; the model server
            tells it where it is Handover's; by default the top camera, 480×640
        """
        super().__init__()
        check_packages()
        found = find_task(task)
        self._cameras = cameras or {"top": ["top", 480, 640]}
        if unknown := {source for source, *_ in self._cameras.values()} - set(found.cameras):
            raise UsageError(f"cameras: {', '.join(sorted(unknown))}: expected {found.cameras}")
        self._name, self._text = task, found.text
        self._seed, self._max_steps = seed, max_steps
        self._robot = AlohaSimulator(task)
        self._score = EpisodeScore()

    @classmethod
    def configure_render(cls, mode: str) -> dict[str, str]:
        """Return nothing: the simulator chooses EGL itself, with a GPU or without."""
        return {}

    def get_tasks(self) -> list[dict[str, Any]]:
        """List the one task; its seed is the first episode's."""
        return [{"name": self._name, "suite": "aloha", "seed": self._seed}]

    def get_metadata(self) -> dict[str, Any]:
        """See Benchmark."""
        return {"max_steps": self._max_steps, "control_rate_hz": 50.0}

    def get_metric_keys(self) -> dict[str, str]:
        """See Benchmark."""
        return {"success": "mean", "strict_success": "mean", "max_reward": "mean"}

    def get_action_spec(self) -> dict[str, DimSpec]:
        """See Benchmark."""
        return {"joints": DimSpec("joints", 14, "absolute_rad_grippers_01")}

    def get_observation_spec(self) -> dict[str, DimSpec]:
        """See Benchmark."""
        state = DimSpec("state", 14, "joint_positions")
        return {"image": IMAGE_RGB, "state": state, "language": LANGUAGE}

    def reset(self, task: dict[str, Any]) -> np.ndarray:
        """Start the episode of a task's seed and number."""
        self._score = EpisodeScore()
        return self._robot.reset(int(task["seed"]) + int(task.get("episode_idx", 0)))

    def step(self, action: dict[str, Any]) -> StepResult:
        """Play one control step, or several, until the episode is over."""
        targets = np.asarray(action["actions"], np.float32)
        rows = targets[None] if targets.ndim == 1 else targets
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != 14 or not np.isfinite(rows).all():
            raise UsageError(
                f"actions: expected 14 finite joint targets, or rows of them, got {targets.shape}"
            )
        reward = 0
        for row in rows:
            if self._is_over:
                break
            reward = self._robot.step(row)
            self._score.add(reward, reward == SUCCESS_REWARD and self._robot.is_held)
        return StepResult(self._robot.state, float(reward), self._is_over, {})

    def make_obs(self, raw_obs: Any, task: dict[str, Any]) -> dict[str, Any]:
        """Draw the cameras and read the joints."""
        images = {
            name: self._robot.render((height, width), source)
            for name, (source, height, width) in self._cameras.items()
        }
        return {"images": images, "state": self._robot.state, "task_description": self._text}

    def get_step_result(self, step_result: StepResult) -> dict[str, Any]:
        """Return the episode's score: success is gym-aloha's."""
        score = self._score
        return {
            "success": score.success,
            "strict_success": score.strict_success,
            "max_reward": score.max_reward,
            "control_steps": score.steps,
        }

    def get_hold_action(self, last_action: dict[str, Any] | None) -> dict[str, Any]:
        """Hold the last target, or the joints where they are."""
        if last_action is not None:
            return last_action
        return {"actions": np.asarray(self._robot.state, np.float32)}

    @property
    def _is_over(self) -> bool:
        return self._score.strict_success or self._score.steps >= self._max_steps
