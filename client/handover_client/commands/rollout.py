"""The command `handover rollout`: a policy judged closed loop, by what the robot achieves.

The only module of the client that knows the simulator; the loop drives a Robot and a ChunkSource.
"""

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handover_client.connection.flags import read_security
from handover_client.rollout.config import RolloutConfig, check_usage

if TYPE_CHECKING:
    from handover_envs.simulator import AlohaSimulator, TaskName
    from handover_proto import ServerInfo

    from handover_client.control.chunk_sources import ScriptedChunks
    from handover_client.rollout.episode import EpisodeTask, FinishedEpisode

SCRIPT_RATE_HZ = 20.0  # the script gives its chunks as a policy does
SCRIPT_HORIZON = 16


def main(config: RolloutConfig) -> dict[str, Any]:
    """Play the episodes, write the run's folder, print the figures; returns those of metrics.json.

    Raises UsageError for flags that make no sense, ServerUnavailable when no server is ready in
    time, and EvaluationError for one that does not fit or goes away for good.
    """
    check_usage(config)
    from handover_common.parallel import open_executor
    from handover_envs.simulator import check_packages, find_task

    from handover_client.report.rerun import check_rerun
    from handover_client.report.rollout_terminal import print_rollout
    from handover_client.results.unfinished_run import check_new
    from handover_client.rollout.run import run_rollout

    check_new(config.output)
    if config.cluster is None:
        check_packages()
    if config.rerun is not None:
        check_rerun(config.rerun)
    info = served_info(config) if config.policy == "server" else None
    tasks = episode_tasks(config, info)
    workers = min(config.workers, len(tasks)) if config.workers else config.workers
    with open_executor(workers, config.cluster) as executor:

        def play_all(rest: "Iterable[EpisodeTask]") -> "Iterator[FinishedEpisode]":
            for outcome in executor.map_unordered(play, rest):
                yield outcome.unwrap()

        figures = run_rollout(config, tasks, info, find_task(config.task).objects, play_all)
    print_rollout(figures)
    print(f"report: {config.output / 'report.html'}")
    return figures


def play(task: "EpisodeTask") -> "FinishedEpisode":
    """Play one episode, in a worker; raises EvaluationError for what would fail every episode."""
    from handover_common import HandoverError

    from handover_client.errors import EvaluationError
    from handover_client.rollout.episode import play_task, server_source

    try:
        robot = _robot(task.config.task)
        if task.spec is None:
            return play_task(task, robot, _script(task))
        with server_source(task) as source:
            return play_task(task, robot, source)
    except HandoverError as error:  # some of them cannot be sent to another process
        raise EvaluationError(f"episode {task.episode}: {error}") from error


@lru_cache(maxsize=1)
def _robot(task: "TaskName") -> "AlohaSimulator":
    """Build the world once in a process; every episode resets it completely."""
    from handover_envs.simulator import AlohaSimulator

    return AlohaSimulator(task)


def _script(task: "EpisodeTask") -> "ScriptedChunks":
    from handover_common import HandoverError
    from handover_envs.experts import ScriptedPolicy

    from handover_client.control.chunk_sources import ScriptedChunks
    from handover_client.errors import NoPlan

    expert = ScriptedPolicy(task.config.task)
    try:
        expert.reset(task.seed)
    except HandoverError as error:
        reason = str(error)

        def no_plan(time_s: float) -> Any:
            raise NoPlan(reason)

        return ScriptedChunks(no_plan, task.chunk_rate_hz)
    return ScriptedChunks(
        lambda time_s: expert.chunk(time_s, task.horizon, task.chunk_rate_hz), task.chunk_rate_hz
    )


def served_info(config: RolloutConfig) -> "ServerInfo":
    """Ask the server what it serves; raises EvaluationError unless a rollout can use it."""
    from handover_client.connection.policy_client import PolicyClient
    from handover_client.control.blending import sends_rest
    from handover_client.control.chunk_sources import only_camera
    from handover_client.errors import EvaluationError
    from handover_client.rollout.episode import IMAGE_CODECS

    codec = IMAGE_CODECS[config.image_codec]
    with PolicyClient.connect(
        config.server,
        timeout_s=config.connect_timeout_s,
        image_codec=codec,
        security=read_security(config.security, os.environ),
    ) as client:
        info = client.info
    only_camera(info.spec)
    if sends_rest(config.switching) and not info.spec.supports_prefix:
        raise EvaluationError(
            f"--switching {config.switching}: the server's {info.spec.policy!r} policy has no "
            "real-time chunking"
        )
    return info


def episode_tasks(config: RolloutConfig, info: "ServerInfo | None") -> "list[EpisodeTask]":
    """List the episodes to play; raises EvaluationError for chunks too short, or no seeds."""
    from handover_envs.simulator import CONTROL_RATE_HZ, find_task

    from handover_client.errors import EvaluationError
    from handover_client.rollout.episode import EpisodeTask
    from handover_client.rollout.seeds import episode_seeds

    spec = info.spec if info else None
    security = read_security(config.security, os.environ)
    horizon = spec.horizon if spec else SCRIPT_HORIZON
    if config.execute_steps > horizon:
        raise EvaluationError(
            f"the policy's chunks have {horizon} steps, expected at least the "
            f"{config.execute_steps} of --execute-steps"
        )
    return [
        EpisodeTask(
            config=config,
            episode=episode,
            seed=seed,
            text=find_task(config.task).text,
            control_rate_hz=CONTROL_RATE_HZ,
            chunk_rate_hz=(spec.rate_hz or config.policy_rate_hz) if spec else SCRIPT_RATE_HZ,
            horizon=horizon,
            spec=spec,
            security=security,
        )
        for episode, seed in episode_seeds(config).items()
    ]


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(RolloutConfig))


if __name__ == "__main__":
    cli()
