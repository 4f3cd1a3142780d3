"""An open-loop evaluation from its first check to its figures, with a progress bar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from handover_common import ProgressBar, track
from handover_proto import ImageCodec

from handover_client.connection.foreign.open import AnyClient, connect_server
from handover_client.connection.security import ChannelSecurity
from handover_client.replay.action_groups import ActionColumns, parts_of
from handover_client.replay.baselines import MeanTrajectory
from handover_client.replay.compatibility import (
    check_episodes,
    check_fit,
    check_horizon,
    choose_episodes,
)
from handover_client.replay.config import ReplayConfig
from handover_client.replay.evaluation import Evaluation, evaluate
from handover_client.replay.figures import figures
from handover_client.replay.folder import ReplayFolder
from handover_client.replay.replayer import (
    Replayer,
    ReplayPlan,
    Trajectory,
    inference_steps,
    read_demonstration,
)
from handover_client.results.provenance import describe_training, membership, provenance

if TYPE_CHECKING:
    from handover_conversion.groot import EpisodeEntry, GrootDataset


@dataclass(frozen=True)
class Replay:
    """A replay that fits its server and its dataset, before its first request."""

    requests: ReplayPlan
    dataset: "GrootDataset"
    client: AnyClient
    entries: "Sequence[EpisodeEntry]"
    layout: ActionColumns
    dataset_hash: str

    def plan(self) -> dict[str, Any]:
        """List what decides the answers: a resumed run must have the same."""
        spec = self.client.info.spec
        return {
            "episodes": [entry.index for entry in self.entries],
            **asdict(self.requests),
            "image_codec": self.client.image_codec.name,
            "dataset_hash": self.dataset_hash,
            "checkpoint_hash": spec.checkpoint_hash,
            "processor_hash": spec.processor_hash,
        }

    def run(self, folder: ReplayFolder | None = None) -> tuple[Evaluation, dict[str, Any]]:
        """Replay the episodes and score them; returns the evaluation and all of metrics.json.

        folder: keeps the answers about each finished trajectory, and holds an earlier run's.
        """
        trajectories = self._replay_all(folder)
        demonstrated = np.concatenate([each.demonstrated for each in trajectories])
        evaluation = evaluate(trajectories, parts_of(self.layout, demonstrated))
        plan, client = self.plan(), self.client
        training = membership(client.info.spec.training, self.dataset_hash, plan["episodes"])
        name = self.dataset.path.resolve().name
        return evaluation, {
            "kind": "replay",
            **{key: value for key, value in plan.items() if not key.endswith("_hash")},
            "rate_hz": self.dataset.fps,
            "training": describe_training(training.values()),
            **figures(evaluation, training, self.requests.action_horizon),
            "provenance": provenance(client.info, client.address, name, self.dataset_hash),
        }

    def _replay_all(self, folder: ReplayFolder | None) -> list[Trajectory]:
        plan, mean = self.requests, self._mean_trajectory()
        replayer = Replayer(self.client, self.dataset, self.layout, plan)
        first = self.client.info.spec.first_step
        chunks = sum(len(inference_steps(entry.length - first, plan)) for entry in self.entries)
        trajectories = []
        with ProgressBar("chunks", chunks, transient=True) as bar:
            for place, entry in enumerate(self.entries, start=1):
                bar.show(what=f"chunks, episode {entry.index} ({place}/{len(self.entries)})")
                answers = folder.answers(entry.index) if folder else None
                if answers is not None:
                    bar.advance(len(answers.calls))
                else:
                    answers = replayer.ask(entry, bar.advance)
                    if folder:
                        folder.keep(entry.index, answers)
                trajectories.append(replayer.trajectory(entry, answers, mean))
        return trajectories

    def _mean_trajectory(self) -> MeanTrajectory:
        episodes = self.dataset.episodes
        actions = (
            read_demonstration(self.dataset, entry.index, self.layout, self.client.info.spec)[1]
            for entry in track(episodes, "mean trajectory", total=len(episodes), transient=True)
        )
        longest = max(entry.length for entry in episodes) - self.client.info.spec.first_step
        return MeanTrajectory(actions, min(self.requests.steps, longest))


@contextmanager
def open_replay(config: ReplayConfig, security: ChannelSecurity) -> Iterator[Replay]:
    """Open the dataset and connect to the server; see prepare_replay for what is checked.

    Raises DatasetError for the dataset, ServerUnavailable when no server is ready in time.
    """
    from handover_conversion.groot import GrootDataset

    dataset = GrootDataset.open(config.dataset_path)
    with connect_server(
        config.server,
        timeout_s=config.connect_timeout_s,
        call_timeout_s=config.call_timeout_s,
        image_codec=ImageCodec.parse(config.image_codec),
        security=security,
        spec=config.spec,
    ) as client:
        horizon = config.action_horizon or client.info.spec.horizon
        plan = ReplayPlan(config.steps, horizon, config.seed)
        yield prepare_replay(dataset, client, plan, config.traj_ids or ())


def prepare_replay(
    dataset: "GrootDataset", client: AnyClient, plan: ReplayPlan, traj_ids: Sequence[int] = ()
) -> Replay:
    """Check that plan, dataset and server fit; no ids means every episode of the dataset.

    Raises UsageError for an action horizon, EvaluationError for a dataset, that does not fit.
    """
    spec = client.info.spec
    check_horizon(plan.action_horizon, spec)
    entries = choose_episodes(dataset, traj_ids)
    layout = check_fit(dataset, spec)
    check_episodes(dataset, entries, spec)
    with ProgressBar("hashing the dataset", 1, transient=True):
        dataset_hash = dataset.content_hash()
    return Replay(plan, dataset, client, entries, layout, dataset_hash)
