"""One open-loop evaluation from the first check to the figures, with a progress bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handover_client.baselines import MeanTrajectory
from handover_client.dataset_fit import check_fit, check_run, choose_episodes
from handover_client.evaluation import Evaluation, evaluate
from handover_client.figures import figures
from handover_client.parts import Layout, parts_of
from handover_client.policy_client import PolicyClient
from handover_client.provenance import describe_training, membership, provenance
from handover_client.recordings import EpisodeEntry, Recordings
from handover_client.trajectory import (
    Replayer,
    ReplayPlan,
    Trajectory,
    inference_steps,
    select_groups,
)


@dataclass(frozen=True)
class ReplaySettings:
    """What is replayed, and how; no ids means every episode of the dataset."""

    traj_ids: tuple[int, ...]
    steps: int
    action_horizon: int
    seed: int


def run_replay(
    settings: ReplaySettings, recordings: Recordings, client: PolicyClient
) -> tuple[Evaluation, dict[str, Any]]:
    """Replay the episodes and judge them; returns the evaluation and all of metrics.json.

    Raises UsageError for settings, EvaluationError for a dataset, that do not fit the server.
    """
    spec = client.info.spec
    check_run(settings.steps, settings.action_horizon, settings.seed, spec)
    entries = choose_episodes(recordings, settings.traj_ids)
    layout = check_fit(recordings, spec)
    plan = ReplayPlan(settings.steps, settings.action_horizon, settings.seed)
    with _progress_bar() as progress:
        dataset_hash = _hash(recordings, progress)
        mean = _mean_trajectory(recordings, layout, settings.steps, progress)
        trajectories = _replay_all(
            Replayer(client, recordings, layout, plan), entries, plan, mean, progress
        )
    demonstrated = np.concatenate([each.demonstrated for each in trajectories])
    evaluation = evaluate(trajectories, parts_of(layout, demonstrated))
    training = membership(spec.training, dataset_hash, [entry.index for entry in entries])
    return evaluation, {
        "kind": "replay",
        "steps": settings.steps,
        "action_horizon": settings.action_horizon,
        "seed": settings.seed,
        "image_codec": client.image_codec.name,
        "episodes": [entry.index for entry in entries],
        "rate_hz": recordings.fps,
        "training": describe_training(training.values()),
        **figures(evaluation, training, settings.action_horizon),
        "provenance": provenance(
            client.info, client.address, recordings.path.resolve().name, dataset_hash
        ),
    }


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _hash(recordings: Recordings, progress: Progress) -> str:
    task = progress.add_task("hashing the dataset", total=1)
    dataset_hash = recordings.content_hash()
    progress.advance(task)
    return dataset_hash


def _mean_trajectory(
    recordings: Recordings, layout: Layout, steps: int, progress: Progress
) -> MeanTrajectory:
    actions = (
        select_groups(recordings.read_episode(entry.index).action, recordings.action_groups, layout)
        for entry in progress.track(recordings.episodes, description="mean trajectory")
    )
    return MeanTrajectory(actions, steps)


def _replay_all(
    replayer: Replayer,
    entries: Sequence[EpisodeEntry],
    plan: ReplayPlan,
    mean: MeanTrajectory,
    progress: Progress,
) -> list[Trajectory]:
    chunks = sum(len(inference_steps(entry.length, plan)) for entry in entries)
    task = progress.add_task("chunks", total=chunks)
    trajectories = []
    for place, entry in enumerate(entries):
        progress.update(
            task, description=f"chunks, episode {entry.index} ({place + 1}/{len(entries)})"
        )
        trajectories.append(replayer.replay(entry, mean, lambda: progress.advance(task)))
    return trajectories
