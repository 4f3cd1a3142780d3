"""Rollouts in MuJoCo: the episodes to play, and how a worker plays one with handover_envs."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover_common import HandoverError, UsageError
from handover_common.parallel import open_executor
from handover_envs.perturbations import parse_change, unchanged
from handover_envs.tasks import CONTROL_RATE_HZ, find_task
from handover_proto import (
    CHUNK_STEPS,
    POLICY_RATE_HZ,
    ImageCodec,
    PolicyError,
    PolicySpec,
    UnmetPrecondition,
)

from handover_client.connection.foreign.open import connect_server
from handover_client.connection.foreign.spec_file import read_spec_file
from handover_client.connection.security import ChannelSecurity
from handover_client.control.blending import sends_rest
from handover_client.control.chunk_sources import ScriptedChunks
from handover_client.control.controller import find_policy_rate
from handover_client.control.joint_layout import GR1_LAYOUT, find_joint_layout
from handover_client.control.robot_view import RobotView, view_for
from handover_client.errors import EvaluationError, NoPlan
from handover_client.results.stopping import Question
from handover_client.rollout.config import RolloutConfig, parse_cameras, parse_groups
from handover_client.rollout.episode import (
    EpisodeTask,
    FinishedEpisode,
    ServedPolicy,
    play_task,
    server_source,
)
from handover_client.rollout.run import PlayAll, Rollout

if TYPE_CHECKING:
    from handover_envs.simulator import AlohaSimulator
    from handover_envs.tasks import TaskName


def prepare_rollout(config: RolloutConfig, security: ChannelSecurity) -> Rollout:
    """Ask the server, if there is one, what it serves, and list the episodes to play.

    Raises MissingExtra where the simulators are to run here and cannot, ServerUnavailable when no
    server is ready in time, and EvaluationError for one that does not fit.
    """
    from handover_envs.simulator import check_packages

    if config.cluster is None:
        check_packages()
    config = delayed(config)
    server = find_server(config, security) if config.settings.policy == "server" else None
    until = None if config.until is None else Question.parse(config.until)
    objects = find_task(config.settings.task).objects
    return Rollout(episode_tasks(config, server), objects, until)


@contextmanager
def open_simulators(config: RolloutConfig) -> Iterator[PlayAll]:
    """Start the workers that play episodes: processes of this machine, or a Ray cluster's."""
    workers = min(config.workers, config.episodes) if config.workers else None
    with open_executor(workers, config.cluster) as executor:

        def play_all(tasks: Iterable[EpisodeTask]) -> Iterator[FinishedEpisode]:
            for outcome in executor.map_unordered(play, tasks):
                yield outcome.unwrap()

        yield play_all


def delayed(config: RolloutConfig) -> RolloutConfig:
    """Return the configuration with the latency of its --change. Raises UsageError."""
    settings = config.settings
    change = parse_change(settings.change)
    if change is None:
        return config
    delay = change[0].delay(change[1])
    if not (delay.latency_ms or delay.jitter_ms):
        return config
    late = replace(
        settings,
        realtime=True,
        clock=settings.clock if settings.realtime else "simulated",
        latency_ms=settings.latency_ms + delay.latency_ms,
        jitter_ms=settings.jitter_ms + delay.jitter_ms,
    )
    return replace(config, settings=late)


def find_server(config: RolloutConfig, security: ChannelSecurity) -> ServedPolicy:
    """Ask the server what it serves; raises EvaluationError unless a rollout can use it."""
    settings = config.settings
    with connect_server(
        config.server,
        timeout_s=config.connect_timeout_s,
        image_codec=ImageCodec.parse(settings.image_codec),
        security=security,
        spec=config.spec,
    ) as client:
        info = client.info
    if sends_rest(settings.switching) and not info.spec.supports_prefix:
        raise EvaluationError(
            f"--switching {settings.switching}: the server's {info.spec.policy!r} policy has no "
            "real-time chunking"
        )
    # one call may take no longer than the episode may go without an answer
    timeout_s = min(config.call_timeout_s, config.reconnect_s)
    told = None if config.spec is None else read_spec_file(config.spec)
    return ServedPolicy(config.server, info, timeout_s, security, told)


def episode_tasks(config: RolloutConfig, server: ServedPolicy | None) -> list[EpisodeTask]:
    """List the episodes to play; raises EvaluationError for chunks too short, no rate, no seeds."""
    settings = config.settings
    spec = server.info.spec if server else None
    horizon = spec.horizon if spec else CHUNK_STEPS
    rate_hz = chunk_rate_hz(spec, settings.policy_rate_hz)
    view = robot_view(config, spec, rate_hz)
    if settings.execute_steps > horizon:
        raise EvaluationError(
            f"the policy's chunks have {horizon} steps, expected at least the "
            f"{settings.execute_steps} of --execute-steps"
        )
    return [
        EpisodeTask(
            settings=settings,
            episode=episode,
            seed=seed,
            view=view,
            control_rate_hz=CONTROL_RATE_HZ,
            chunk_rate_hz=rate_hz,
            horizon=horizon,
            reconnect_s=config.reconnect_s,
            server=server,
        )
        for episode, seed in episode_seeds(config).items()
    ]


def chunk_rate_hz(spec: PolicySpec | None, told_hz: float | None) -> float:
    """Find the steps per second of a policy's chunks; None is the script.

    Raises EvaluationError where the server and --policy-rate-hz do not tell it, or differ.
    """
    if spec is None:
        return POLICY_RATE_HZ
    try:
        return find_policy_rate(spec, told_hz)
    except UnmetPrecondition as error:
        raise EvaluationError(str(error)) from None


def robot_view(config: RolloutConfig, spec: PolicySpec | None, rate_hz: float) -> RobotView:
    """Lay out what the policy is shown. Raises EvaluationError where that is not certain.

    Raises UsageError for a --change that changes nothing.
    """
    settings, task = config.settings, find_task(config.settings.task)
    control_steps = CONTROL_RATE_HZ / rate_hz
    change = parse_change(settings.change)
    if change and (reason := unchanged(*change, task)):
        raise UsageError(f"--change {settings.change} would change nothing: {reason}")
    text = change[0].reword(task.text, change[1]) if change else task.text
    if spec is None:
        return RobotView((), GR1_LAYOUT, {}, text, control_steps)
    try:
        return view_for(
            spec,
            find_joint_layout(spec, parse_groups(settings.group)),
            text,
            control_steps=control_steps,
            cameras=task.cameras,
            told=parse_cameras(settings.camera),
            size=settings.image_size,
        )
    except PolicyError as error:
        raise EvaluationError(str(error)) from None


def episode_seeds(config: RolloutConfig) -> dict[int, int]:
    """Seed of each episode: {episode: seed}. Raises EvaluationError for another recording."""
    if config.seeds_from is None:
        return {episode: config.seed + episode for episode in range(config.episodes)}
    seeds = recorded_seeds(config.seeds_from, config.settings.task)
    return dict(enumerate(seeds[: config.episodes]))


def recorded_seeds(recording: Path, task: str) -> list[int]:
    """Read the seed of every episode of a `handover record` folder. Raises EvaluationError."""
    from handover_envs.record import METADATA

    path = recording / METADATA
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        recorded_task = recorded["task"]
        seeds = [int(each["seed"]) for each in recorded["episodes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{path} does not list the episodes' seeds ({error!r}): expected a recording made by "
            "handover record (--seeds-from)"
        ) from None
    if recorded_task != task:
        raise EvaluationError(
            f"{recording} is a recording of {recorded_task}, expected {task} (--task, --seeds-from)"
        )
    if not seeds:
        raise EvaluationError(f"{recording} has no episodes (--seeds-from)")
    return seeds


def play(task: EpisodeTask) -> FinishedEpisode:
    """Play one episode, in a worker; raises EvaluationError for what would fail every episode."""
    try:
        robot = _robot(task.settings.task, task.settings.change)
        if task.server is None:
            return play_task(task, robot, _script(task, robot))
        with server_source(task) as source:
            return play_task(task, robot, source)
    except HandoverError as error:  # some of them cannot be sent to another process
        raise EvaluationError(f"episode {task.episode}: {error}") from error


@lru_cache(maxsize=1)
def _robot(task: "TaskName", change: str) -> "AlohaSimulator":
    """Build the world once in a process; every episode resets it completely."""
    from handover_envs.simulator import AlohaSimulator

    if change:
        from handover_envs.perturbations import ChangedSimulator

        return ChangedSimulator(task, change)
    return AlohaSimulator(task)


def _script(task: EpisodeTask, robot: "AlohaSimulator") -> ScriptedChunks:
    from handover_envs.experts import ScriptedPolicy

    expert = ScriptedPolicy(task.settings.task)
    try:
        robot.reset(task.seed)
        expert.reset(task.seed, robot.start_poses)
    except HandoverError as error:
        reason = str(error)

        def no_plan(time_s: float) -> Any:
            raise NoPlan(reason)

        return ScriptedChunks(no_plan, task.chunk_rate_hz, task.horizon)

    def chunk(time_s: float) -> Any:
        return expert.chunk(time_s, task.horizon, task.chunk_rate_hz)

    return ScriptedChunks(chunk, task.chunk_rate_hz, task.horizon)
