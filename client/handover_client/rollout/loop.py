"""Control loop of one episode, between a simulated robot and its controller."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from handover_common import HandoverError
from handover_envs.tasks import SUCCESS_REWARD

from handover_client.control.controller import RealTimeController
from handover_client.control.observation import ObserveFn
from handover_client.control.real_time import WallClock
from handover_client.control.request_log import RequestLog
from handover_client.errors import NoPlan, ServerLost
from handover_client.rollout.record import Ending, EpisodeRecord, EpisodeScore
from handover_client.rollout.smoothness import motion
from handover_client.rollout.trace import EpisodeTrace


class PlayedRobot(Protocol):
    """What the loop needs of a robot: part of Robot."""

    @property
    def state(self) -> np.ndarray:
        """See Robot."""
        ...

    @property
    def start_poses(self) -> np.ndarray:
        """See Robot."""
        ...

    @property
    def is_held(self) -> bool:
        """See Robot."""
        ...

    def step(self, targets: np.ndarray) -> int:
        """See Robot."""
        ...


@dataclass(frozen=True)
class EpisodeSetup:
    """Which episode is played, and for how long."""

    episode: int
    seed: int
    max_steps: int  # control steps
    control_rate_hz: float


@dataclass(frozen=True)
class PlayedEpisode:
    """An episode's record, and its every control step."""

    record: EpisodeRecord
    trace: EpisodeTrace

    @property
    def targets(self) -> np.ndarray:
        """What was played: (steps, 14) float32."""
        return self.trace.target_array()


def play_episode(
    robot: PlayedRobot,
    controller: RealTimeController,
    observe: ObserveFn,
    clock: WallClock | None,
    setup: EpisodeSetup,
) -> PlayedEpisode:
    """Drive a robot that was reset to the episode's seed, until a strict success or the last step.

    A server that is gone for longer than the bound, or in real time for the whole episode, physics
    that diverge and a script without a plan are recorded as the way it ended; errors that would
    recur in every episode are raised.
    """
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    score, trace = EpisodeScore(), EpisodeTrace()

    def next_target(step: int) -> np.ndarray:
        if clock:
            clock.wait_for(step)
        return controller.act(step, observe)

    with controller:
        ended, error = _drive(robot, next_target, setup.max_steps, score, trace)
    log, borders = controller.log, controller.borders
    if ended == "max_steps" and (never := _never_answered(log)):
        ended, error = "server_lost", never
    record = EpisodeRecord(
        episode=setup.episode,
        seed=setup.seed,
        ended=ended,
        **score.outcome(),
        start_poses=robot.start_poses.tolist(),
        borders=borders,
        **motion(trace.target_array(), borders, controller.began, setup.control_rate_hz),
        latency_ms=log.latency_ms,
        stage_ms=log.stage_ms,
        prefix_methods=dict(log.prefix_methods),
        delays=[list(pair) for pair in log.delays],
        dropped_steps=log.dropped_steps,
        dry_steps=log.dry_steps,
        dry_spells=log.dry_spells,
        late_steps=clock.late_steps if clock else 0,
        outages=log.outages,
        wall_s=round(time.perf_counter() - start_s, 3),
        cpu_s=round(time.process_time() - start_cpu_s, 3),
        error=error,
    )
    return PlayedEpisode(record, trace)


def _drive(
    robot: PlayedRobot,
    next_target: Callable[[int], np.ndarray],
    max_steps: int,
    score: EpisodeScore,
    trace: EpisodeTrace,
) -> tuple[Ending, str]:
    """Fill `score` and `trace` step by step; returns how the episode ended, and the error."""
    while score.steps < max_steps:
        try:
            target = next_target(score.steps)
        except ServerLost as error:
            return "server_lost", str(error)
        except NoPlan as error:
            return "no_plan", str(error)
        measured = robot.state
        try:
            reward = robot.step(target)
        except HandoverError as error:
            return "simulation_failed", str(error)
        trace.add(measured, target, reward)
        score.add(reward, reward == SUCCESS_REWARD and robot.is_held)
        if score.strict_success:
            return "done", ""
    return "max_steps", ""


def _never_answered(log: RequestLog) -> str:
    """Describe an outage from the first step to the last, which real time allows; else empty."""
    for outage in log.outages:
        if outage.step == 0 and not outage.recovered:
            return f"no chunk in the whole episode: {outage.error}"
    return ""
