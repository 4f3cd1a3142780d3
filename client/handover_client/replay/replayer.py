"""One episode replayed against a server: the predicted chunks laid beside the recorded actions."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from handover_proto import ActionChunk, Observation, Overloaded

from handover_client.connection.policy_client import PolicyClient
from handover_client.errors import EvaluationError
from handover_client.replay.action_groups import ActionColumns
from handover_client.replay.baselines import HOLD, MEAN_TRAJECTORY, MeanTrajectory, hold_state
from handover_client.replay.observations import frames_seen, rows_seen
from handover_client.replay.recordings import Episode, EpisodeEntry, Recordings
from handover_client.results.latency import Call

_OVERLOAD_PATIENCE_S = 60.0
_READ_AHEAD = 64  # observations; 60 MB of 640x480 frames


@dataclass(frozen=True)
class ReplayPlan:
    """How an episode is replayed."""

    steps: int
    action_horizon: int
    seed: int


@dataclass(frozen=True)
class Trajectory:
    """One episode as demonstrated, as predicted, and as the baselines have it: (T, D) float32."""

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
    """List the steps at which the policy is asked, in an episode of `length` steps."""
    return range(0, min(length, plan.steps), plan.action_horizon)


@dataclass(frozen=True)
class ReplayedEpisode:
    """What the policy answered about an episode, (T, D) float32, and how long each chunk took."""

    predicted: np.ndarray
    calls: tuple[Call, ...]


class Replayer:
    """Replays episodes of one dataset against one server."""

    def __init__(
        self, client: PolicyClient, recordings: Recordings, layout: ActionColumns, plan: ReplayPlan
    ) -> None:
        self._client, self._recordings = client, recordings
        self._layout, self._plan = layout, plan

    def ask(self, entry: EpisodeEntry, on_chunk: Callable[[], None]) -> ReplayedEpisode:
        """Ask for a chunk every `action_horizon` steps; cut to the shorter of plan and episode.

        Raises PolicyError when the server fails, EvaluationError for a bad recording or when the
        server changes its checkpoint.
        """
        episode, action = read_demonstration(self._recordings, entry.index, self._layout)
        asked_at = inference_steps(entry.length, self._plan)
        chunks, calls = [], []
        observations = self._observations(entry.index, episode, asked_at)
        for step, observation in zip(asked_at, _ahead(observations), strict=True):
            seed = request_seed(self._plan.seed, entry.index, step)
            chunk, call = self._ask(observation, seed, step, f"episode={entry.index}")
            chunks.append(self._layout.join(chunk.action)[: self._plan.action_horizon])
            calls.append(call)
            on_chunk()
        steps = min(len(action), self._plan.steps)
        return ReplayedEpisode(np.concatenate(chunks)[:steps], tuple(calls))

    def trajectory(
        self, entry: EpisodeEntry, answers: ReplayedEpisode, mean: MeanTrajectory
    ) -> Trajectory:
        """Lay what the policy answered beside the recording and the baselines."""
        episode, action = read_demonstration(self._recordings, entry.index, self._layout)
        asked_at = tuple(inference_steps(entry.length, self._plan))
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

    def _observations(
        self, index: int, episode: Episode, steps: Sequence[int]
    ) -> Iterator[Observation]:
        cameras = self._client.info.spec.cameras
        videos = [frames_seen(self._recordings, index, camera, steps) for camera in cameras]
        for step in steps:
            yield Observation(
                cameras={
                    camera.name: next(video) for camera, video in zip(cameras, videos, strict=True)
                },
                state=self._state_groups(episode.state, step),
                task=episode.task_at(step),
            )

    def _state_groups(self, state: np.ndarray, step: int) -> dict[str, np.ndarray]:
        columns = self._recordings.state_groups
        return {
            group.name: state[rows_seen(step, group), columns[group.name]].astype(np.float32)
            for group in self._client.info.spec.state
        }

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
        told = self._client.info.spec.checkpoint_hash
        if chunk.checkpoint_hash != told:
            raise EvaluationError(
                f"the server answered with the checkpoint {chunk.checkpoint_hash[:12]!r}, but had "
                f"announced {told[:12]!r}: it was changed during the run; start again"
            )

    def _baselines(
        self,
        episode: Episode,
        action: np.ndarray,
        asked_at: Sequence[int],
        mean: MeanTrajectory,
    ) -> dict[str, np.ndarray]:
        baselines = {}
        if can_hold(self._recordings, self._layout):
            state = select_groups(episode.state, self._recordings.state_groups, self._layout)
            steps = min(len(action), self._plan.steps)
            baselines[HOLD] = hold_state(state, asked_at, steps)
        others = mean.without(action)
        if others is not None:
            baselines[MEAN_TRAJECTORY] = others
        return baselines


def _ahead(observations: Iterator[Observation]) -> Iterator[Observation]:
    """Read some observations at a time: a video decoder at work would slow down the calls."""
    while batch := list(itertools.islice(observations, _READ_AHEAD)):
        yield from batch


def read_demonstration(
    recordings: Recordings, index: int, layout: ActionColumns
) -> tuple[Episode, np.ndarray]:
    """Read an episode, and its actions in the layout's groups: (L, D) float32.

    Raises EvaluationError for numbers that are not finite.
    """
    episode = recordings.read_episode(index)
    action = select_groups(episode.action, recordings.action_groups, layout)
    if not (np.isfinite(action).all() and np.isfinite(episode.state).all()):
        raise EvaluationError(f"episode {index} holds numbers that are not finite")
    return episode, action


def select_groups(
    values: np.ndarray, columns: Mapping[str, slice], layout: ActionColumns
) -> np.ndarray:
    """Take the layout's groups out of a dataset's rows: (L, width) -> (L, D) float32."""
    return layout.join({name: values[:, columns[name]] for name in layout.dims})


def can_hold(recordings: Recordings, layout: ActionColumns) -> bool:
    """Tell whether every action group has a state of its name and width that could be held."""
    states = recordings.state_groups
    return all(
        name in states and states[name].stop - states[name].start == dim
        for name, dim in layout.dims.items()
    )
