"""Replay of a dataset's episodes against a server: predicted chunks beside recorded actions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from handover_proto import ActionChunk, Observation, Overloaded, PolicySpec

from handover_client.connection.foreign.open import AnyClient
from handover_client.errors import EvaluationError
from handover_client.replay.action_groups import ActionColumns
from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY, MeanTrajectory, hold_state
from handover_client.replay.observations import observations
from handover_client.results.latency import Call

if TYPE_CHECKING:
    from handover_conversion.groot import Episode, EpisodeEntry, GrootDataset

_OVERLOAD_PATIENCE_S = 60.0


@dataclass(frozen=True)
class ReplayPlan:
    """What decides the requests about an episode; seed: of the run."""

    steps: int
    action_horizon: int
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """One episode as demonstrated, as predicted, and as the baselines have it: (T, D) float32.

    They begin with the action that the policy's first chunk begins with.
    """

    episode: int
    task: str  # the instruction at the first step
    demonstrated: np.ndarray
    predicted: np.ndarray
    baselines: Mapping[str, np.ndarray]
    inference_steps: tuple[int, ...]
    seeds: tuple[int, ...]
    calls: tuple[Call, ...]


def request_seed(seed: int, episode: int, step: int) -> int:
    """Derive a request's seed, so that runs repeat and no two requests share their noise.

    The first 64 bits of numpy's SeedSequence([seed, episode, step]), the same on every platform.
    """
    return int(np.random.SeedSequence([seed, episode, step]).generate_state(1, np.uint64)[0])


def inference_steps(length: int, plan: ReplayPlan) -> range:
    """List the steps at which the policy is asked, in an episode of `length` actions to predict."""
    return range(0, min(length, plan.steps), plan.action_horizon)


@dataclass(frozen=True)
class ReplayedEpisode:
    """The policy's answers about an episode, (T, D) float32, and the time that each chunk took."""

    predicted: np.ndarray
    calls: tuple[Call, ...]


class Replayer:
    """Replays episodes of one dataset against one server."""

    def __init__(
        self, client: AnyClient, dataset: "GrootDataset", layout: ActionColumns, plan: ReplayPlan
    ) -> None:
        self._client, self._dataset = client, dataset
        self._layout, self._plan = layout, plan

    def ask(self, entry: "EpisodeEntry", on_chunk: Callable[[], None]) -> ReplayedEpisode:
        """Ask for a chunk every `action_horizon` steps; cut to the shorter of plan and episode.

        Raises PolicyError when the server fails, EvaluationError for a bad recording or when the
        server changes its checkpoint.
        """
        spec = self._client.info.spec
        episode, action = read_demonstration(self._dataset, entry.index, self._layout, spec)
        asked_at = inference_steps(len(action), self._plan)
        chunks, calls = [], []
        seen = observations(self._dataset, entry.index, episode, spec, asked_at)
        for step, observation in zip(asked_at, seen, strict=True):
            seed = request_seed(self._plan.seed, entry.index, step)
            chunk, call = self._ask(observation, seed, step, f"episode={entry.index}")
            chunks.append(self._layout.join(chunk.action)[: self._plan.action_horizon])
            calls.append(call)
            on_chunk()
        steps = min(len(action), self._plan.steps)
        return ReplayedEpisode(np.concatenate(chunks)[:steps], tuple(calls))

    def trajectory(
        self, entry: "EpisodeEntry", answers: ReplayedEpisode, mean: MeanTrajectory
    ) -> Trajectory:
        """Combine the policy's answers with the recorded actions and the baselines."""
        spec = self._client.info.spec
        episode, action = read_demonstration(self._dataset, entry.index, self._layout, spec)
        asked_at = tuple(inference_steps(len(action), self._plan))
        return Trajectory(
            episode=entry.index,
            task=episode.task_at(0),
            demonstrated=action[: self._plan.steps],
            predicted=answers.predicted,
            baselines=self._baselines(episode, action, asked_at, mean),
            inference_steps=asked_at,
            seeds=tuple(request_seed(self._plan.seed, entry.index, step) for step in asked_at),
            calls=answers.calls,
        )

    def _ask(
        self, observation: Observation, seed: int, step: int, tag: str
    ) -> tuple[ActionChunk, Call]:
        give_up_s = time.monotonic() + _OVERLOAD_PATIENCE_S
        while True:
            start_s = time.perf_counter()
            try:
                chunk = self._client.infer(observation, seed=seed, sequence=step, client_tag=tag)
            except Overloaded as error:  # others use the server too: a replay can wait
                if time.monotonic() > give_up_s:
                    raise
                time.sleep(max(0.01, min(error.retry_after_s, 1.0)))
                continue
            call = Call((time.perf_counter() - start_s) * 1e3, chunk.durations)
            self._check_same_checkpoint(chunk)
            return chunk, call

    def _check_same_checkpoint(self, chunk: ActionChunk) -> None:
        announced = self._client.info.spec.checkpoint_hash
        if chunk.checkpoint_hash != announced:
            raise EvaluationError(
                f"the server answered with the checkpoint {chunk.checkpoint_hash[:12]!r}, but had "
                f"announced {announced[:12]!r}: it was changed during the run; start again"
            )

    def _baselines(
        self,
        episode: "Episode",
        action: np.ndarray,
        asked_at: Sequence[int],
        mean: MeanTrajectory,
    ) -> dict[str, np.ndarray]:
        baselines = {}
        if can_hold(self._dataset, self._layout):
            state = select_groups(episode.state, self._dataset.state_groups, self._layout)
            steps = min(len(action), self._plan.steps)
            baselines[HOLD] = hold_state(state, asked_at, steps)
        others = mean.without(action)
        if others is not None:
            baselines[MEAN_TRAJECTORY] = others
        return baselines


def read_demonstration(
    dataset: "GrootDataset", index: int, layout: ActionColumns, spec: PolicySpec
) -> tuple["Episode", np.ndarray]:
    """Read an episode, and its actions in the layout's groups: (L, D) float32.

    Its instructions are those of the policy's language key; its actions begin where the policy's
    chunks do. Raises EvaluationError for numbers that are not finite.
    """
    episode = dataset.read_episode(index, spec.language_key or None)
    action = select_groups(episode.action, dataset.action_groups, layout)[spec.first_step :]
    if not (np.isfinite(action).all() and np.isfinite(episode.state).all()):
        raise EvaluationError(f"episode {index} holds numbers that are not finite")
    return episode, action


def select_groups(
    values: np.ndarray, columns: Mapping[str, slice], layout: ActionColumns
) -> np.ndarray:
    """Select the layout's groups from a dataset's rows: (L, width) -> (L, D) float32."""
    return layout.join({name: values[:, columns[name]] for name in layout.dims})


def can_hold(dataset: "GrootDataset", layout: ActionColumns) -> bool:
    """Whether every action group has a state of its name and width, which could be held."""
    states = dataset.state_groups
    return all(
        name in states and states[name].stop - states[name].start == dim
        for name, dim in layout.dims.items()
    )
