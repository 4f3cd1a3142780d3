"""Worker of a recording with takeovers: a served policy drives until the expert finishes for it.

That is how a person corrects a robot (DAgger; Ross, Gordon, Bagnell, 2011): the dataset shows what
to do in the places to which the policy's own mistakes lead.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from handover_client.control import RealTimeController
from handover_client.rollout import EpisodeScore, EpisodeTask, WatchedRobot, server_source
from handover_common import HandoverError
from handover_conversion import DatasetError

from handover_envs.experts.inverse_kinematics import HOME_ANGLES, OutOfReach
from handover_envs.record.demonstration import (
    Demonstration,
    expert,
    notes_of,
    plain_of,
    simulator_of,
)
from handover_envs.record.filming import Film, film
from handover_envs.simulator.simulator import AlohaSimulator, SimulationFailed
from handover_envs.tasks.names import TaskName
from handover_envs.tasks.task import CONTROL_RATE_HZ, DEMONSTRATION_STEPS, SUCCESS_REWARD

When = Literal["either", "wrong", "moment"]
SPARED = "spared"  # the policy succeeded by itself

_STALLED_STEPS = 150  # no new reward for 3 s; the experts' longest wait for one is 2.6 s
_LOST_STEPS = 25  # two rewards below the best for half a second: dropped
_LATEST_MOMENT = 250  # 5 s, when the experts are about to succeed


@dataclass(frozen=True)
class TakeoverTask:
    """One episode to play and to take over; `episode` says how the policy is asked."""

    task: TaskName
    seed: int
    film: Film
    episode: EpisodeTask
    when: When


@dataclass
class TakeoverRule:
    """Decides step by step when the expert takes over; moment: at the latest, in control steps."""

    when: When
    moment: int
    _best: int = 0
    _best_at: int = 0
    _low_steps: int = 0
    _steps: int = field(default=0)

    def add(self, reward: int) -> None:
        """Count a control step's reward."""
        self._steps += 1
        if reward > self._best:
            self._best, self._best_at = reward, self._steps
        self._low_steps = self._low_steps + 1 if reward <= self._best - 2 else 0

    @property
    def reason(self) -> str:
        """Why the expert takes over before the next control step; empty while it does not."""
        if self.when != "wrong" and self._steps >= self.moment:
            return "moment"
        if self.when == "moment":
            return ""
        if self._low_steps >= _LOST_STEPS:
            return "lost"
        return "stalled" if self._steps - self._best_at >= _STALLED_STEPS else ""


def take_over(task: TakeoverTask) -> Demonstration | str | None:
    """Let the policy drive a seed's episode, take over, and film the expert's part.

    None where the expert does not succeed, SPARED where the policy did by itself. Raises
    DatasetError for what would fail every episode.
    """
    try:
        return _take_over(task)
    except HandoverError as error:  # some of them cannot be sent to another process
        raise DatasetError(f"seed {task.seed}: {error}") from error


def _take_over(task: TakeoverTask) -> Demonstration | str | None:
    simulator = simulator_of(task.task, task.film.look, task.film.vary)
    simulator.reset(task.seed)
    try:
        played, reason = _drive(task, simulator)
        if not reason:
            return SPARED
        start = played[-1] if played else np.array([*HOME_ANGLES, 0.0] * 2)
        places = simulator.object_poses
        plan = expert(task.task).recover(task.seed, start, places, simulator.contacts())
        rewards = np.array([simulator.step(targets) for targets in plan.targets])
    except (OutOfReach, SimulationFailed):
        return None
    if rewards[-1] != SUCCESS_REWARD:
        return None
    simulator.reset(task.seed)  # physics repeats itself bit for bit
    for targets in played:
        simulator.step(targets)
    filmed = film(simulator, plain_of(task.task, task.film), plan, task.film)
    at_s = len(played) / CONTROL_RATE_HZ
    notes = {"intervention": {"reason": reason, "at_s": at_s}, **notes_of(simulator)}
    return Demonstration(task.seed, filmed, rewards, places, notes)


def _drive(task: TakeoverTask, simulator: AlohaSimulator) -> tuple[list[np.ndarray], str]:
    """Let the policy drive; returns what it played, and why it was stopped, empty if it was not."""
    moment = int(np.random.default_rng([task.seed, 1]).integers(_LATEST_MOMENT))
    rule, score = TakeoverRule(task.when, moment), EpisodeScore()
    episode, settings = task.episode, task.episode.settings
    watched = WatchedRobot(simulator, episode.view)
    played: list[np.ndarray] = []
    with (
        server_source(episode) as source,
        RealTimeController(
            source,
            episode.view.task,
            CONTROL_RATE_HZ,
            "naive",
            execute_steps=settings.execute_steps,
            policy_rate_hz=episode.chunk_rate_hz,
            reconnect_s=episode.reconnect_s,
            clock="simulated",
        ) as controller,
    ):
        for step in range(DEMONSTRATION_STEPS):
            if rule.reason:
                return played, rule.reason
            played.append(controller.act(step, watched.observe))
            reward = watched.step(played[-1])
            rule.add(reward)
            score.add(reward, reward == SUCCESS_REWARD and simulator.is_held)
            if score.strict_success:
                return played, ""
    return played, "" if score.success else "late"
