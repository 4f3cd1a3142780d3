"""Preparation of a recording with takeovers: the server, and the task of each seed."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from handover_client.connection import read_security
from handover_client.rollout import (
    EpisodeSettings,
    EpisodeTask,
    RolloutConfig,
    episode_tasks,
    find_server,
    told_of,
)

from handover_envs.record.config import RecordConfig
from handover_envs.record.filming import Film
from handover_envs.record.takeover import TakeoverTask, take_over


def prepare_takeover(
    config: RecordConfig, film: Film
) -> tuple[Callable[[Any], Any], Callable[[int], TakeoverTask], dict[str, Any]]:
    """Ask the server what it serves. Raises HandoverError for one that does not fit.

    Returns the worker's function, its task for a seed, and what the plan has to hold.
    """
    rollout = RolloutConfig(
        config.output,
        config.server,
        config.spec,
        EpisodeSettings(
            task=config.task,
            execute_steps=config.execute_steps,
            policy_rate_hz=config.policy_rate_hz,
            camera=config.camera,
            group=config.group,
        ),
        episodes=1,
    )
    server = find_server(rollout, read_security(config.security, os.environ))
    (first,) = episode_tasks(_of_the_policy(rollout, server.info.spec.cameras), server)

    def make_task(seed: int) -> TakeoverTask:
        episode: EpisodeTask = replace(first, episode=seed, seed=seed)
        return TakeoverTask(config.task, seed, film, episode, config.takeover_when)

    plan = {
        "takeover": config.takeover_when,
        "execute_steps": config.execute_steps,
        **({"policy_rate_hz": config.policy_rate_hz} if config.policy_rate_hz else {}),
        "checkpoint_hash": server.info.spec.checkpoint_hash,
        "checkpoint_name": server.info.spec.checkpoint_name,
        "views": {view.name: [view.source, *view.height_width] for view in first.view.cameras},
    }
    return take_over, make_task, plan


def _of_the_policy(rollout: RolloutConfig, cameras: Any) -> RolloutConfig:
    """Leave those of --camera that are only filmed: the policy has no camera of that name."""
    names = {camera.name for camera in cameras}
    told = told_of(rollout.settings.camera, names)
    return replace(rollout, settings=replace(rollout.settings, camera=told))
