"""One open-loop evaluation from the first check to the figures, with a progress bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handover_client.connection.policy_client import PolicyClient
from handover_client.replay.action_groups import ActionColumns, parts_of
from handover_client.replay.baselines import MeanTrajectory
from handover_client.replay.compatibility import check_fit, check_run, choose_episodes
from handover_client.replay.evaluation import Evaluation, evaluate
from handover_client.replay.figures import figures
from handover_client.replay.folder import ReplayFolder
from handover_client.replay.recordings import EpisodeEntry, Recordings
from handover_client.replay.replayer import (
    Replayer,
    ReplayPlan,
    Trajectory,
    inference_steps,
    read_demonstration,
)
from handover_client.results.provenance import describe_training, membership, provenance


@dataclass(frozen=True)
class ReplaySettings:
    """What is replayed, and how; no ids means every episode of the dataset."""

    traj_ids: tuple[int, ...]
    steps: int
    action_horizon: int
    seed: int


@dataclass(frozen=True)
class Replay:
    """A replay that fits its server and its dataset, before its first request."""

    settings: ReplaySettings
    recordings: Recordings
    client: PolicyClient
    entries: Sequence[EpisodeEntry]
    layout: ActionColumns
    dataset_hash: str

    def plan(self) -> dict[str, Any]:
        """List what decides the answers: a run that goes on must have the same."""
        spec = self.client.info.spec
        return {
            "episodes": [entry.index for entry in self.entries],
            **{key: getattr(self.settings, key) for key in ("steps", "action_horizon", "seed")},
            "image_codec": self.client.image_codec.name,
            "dataset_hash": self.dataset_hash,
            "checkpoint_hash": spec.checkpoint_hash,
            "processor_hash": spec.processor_hash,
        }

    def run(self, folder: ReplayFolder | None = None) -> tuple[Evaluation, dict[str, Any]]:
        """Replay the episodes and judge them; returns the evaluation and all of metrics.json.

        folder: keeps the answers about each finished trajectory, and has those of a run before.
        """
        with _progress_bar() as progress:
            trajectories = self._replay_all(folder, progress)
        demonstrated = np.concatenate([each.demonstrated for each in trajectories])
        evaluation = evaluate(trajectories, parts_of(self.layout, demonstrated))
        plan, client = self.plan(), self.client
        training = membership(client.info.spec.training, self.dataset_hash, plan["episodes"])
        name = self.recordings.path.resolve().name
        return evaluation, {
            "kind": "replay",
            **{key: value for key, value in plan.items() if not key.endswith("_hash")},
            "rate_hz": self.recordings.fps,
            "training": describe_training(training.values()),
            **figures(evaluation, training, self.settings.action_horizon),
            "provenance": provenance(client.info, client.address, name, self.dataset_hash),
        }

    def _replay_all(self, folder: ReplayFolder | None, progress: Progress) -> list[Trajectory]:
        settings = self.settings
        plan = ReplayPlan(settings.steps, settings.action_horizon, settings.seed)
        mean = _mean_trajectory(self.recordings, self.layout, settings.steps, progress)
        replayer = Replayer(self.client, self.recordings, self.layout, plan)
        chunks = sum(len(inference_steps(entry.length, plan)) for entry in self.entries)
        task = progress.add_task("chunks", total=chunks)
        trajectories = []
        for place, entry in enumerate(self.entries):
            where = f"episode {entry.index} ({place + 1}/{len(self.entries)})"
            progress.update(task, description=f"chunks, {where}")
            answers = folder.answers(entry.index) if folder else None
            if answers is not None:
                progress.advance(task, len(answers.calls))
            else:
                answers = replayer.ask(entry, lambda: progress.advance(task))
                if folder:
                    folder.keep(entry.index, answers)
            trajectories.append(replayer.trajectory(entry, answers, mean))
        return trajectories


def prepare_replay(
    settings: ReplaySettings, recordings: Recordings, client: PolicyClient
) -> Replay:
    """Check that settings, dataset and server fit.

    Raises UsageError for settings, EvaluationError for a dataset, that do not fit the server.
    """
    spec = client.info.spec
    check_run(settings.steps, settings.action_horizon, settings.seed, spec)
    entries = choose_episodes(recordings, settings.traj_ids)
    layout = check_fit(recordings, spec)
    with _progress_bar() as progress:
        dataset_hash = _hash(recordings, progress)
    return Replay(settings, recordings, client, entries, layout, dataset_hash)


def _progress_bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # a file would get its empty lines
    )


def _hash(recordings: Recordings, progress: Progress) -> str:
    task = progress.add_task("hashing the dataset", total=1)
    dataset_hash = recordings.content_hash()
    progress.advance(task)
    return dataset_hash


def _mean_trajectory(
    recordings: Recordings, layout: ActionColumns, steps: int, progress: Progress
) -> MeanTrajectory:
    actions = (
        read_demonstration(recordings, entry.index, layout)[1]
        for entry in progress.track(recordings.episodes, description="mean trajectory")
    )
    longest = max(entry.length for entry in recordings.episodes)
    return MeanTrajectory(actions, min(steps, longest))
