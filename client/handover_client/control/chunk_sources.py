"""Where a rollout's chunks come from: a policy server, or a script."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from handover_proto import (
    GR1_DIMS,
    ActionPrefix,
    Observation,
    PolicySpec,
    StageDurations,
    aloha_state_groups,
    aloha_targets,
    split_groups,
    widen,
)

from handover_client.connection.policy_client import PolicyClient
from handover_client.errors import EvaluationError


@dataclass(frozen=True)
class RobotObservation:
    """What the robot senses when it asks.

    sequence: the policy's steps since the episode's start
    state: (14,), rad, grippers 0 … 1
    frame: (size, size, 3) uint8; None for a source that needs none
    rest: (steps, 14), what it is still to play of its last chunk; None where that does not matter
    delay_steps: how many of them it will have played when the answer is there
    """

    sequence: int
    state: np.ndarray
    frame: np.ndarray | None
    rest: np.ndarray | None = None
    delay_steps: int = 0


@dataclass(frozen=True)
class ChunkReply:
    """Joint targets (horizon, 14) float32; and, where a server gave them, what that took."""

    targets: np.ndarray
    latency_ms: float = 0.0
    durations: StageDurations | None = None


class ChunkSource(Protocol):
    """The seam between the loop and whatever decides what the robot does."""

    @property
    def needs_frames(self) -> bool:
        """Whether a Sight needs a frame."""
        ...

    def ask(self, sight: RobotObservation) -> ChunkReply:
        """Give the chunk that follows what was seen; may raise PolicyError."""
        ...


class ServerChunks:
    """Chunks of one episode from a policy server."""

    needs_frames = True

    def __init__(
        self, client: PolicyClient, spec: PolicySpec, task: str, episode: int, seed: int
    ) -> None:
        """`client` need not be connected yet: a server may be away when an episode begins.

        spec: what the server serves in this run. Raises EvaluationError unless it is for ALOHA.
        """
        self._client, self._task = client, task
        self._tag, self._seed = f"episode={episode}", seed
        self._camera = only_camera(spec)
        self._checkpoint_hash = spec.checkpoint_hash
        self._has_met = False

    def ask(self, sight: RobotObservation) -> ChunkReply:
        """Ask the server; the sampler's seed follows from the episode's and the sequence.

        Raises PolicyError, and EvaluationError when other weights answer than at the start.
        """
        assert sight.frame is not None
        if not self._has_met:
            self._client.get_info()
            self._has_met = True
        observation = Observation(
            {self._camera: [sight.frame]}, aloha_state_groups(sight.state), self._task
        )
        start_s = time.perf_counter()
        chunk = self._client.infer(
            observation,
            seed=sampler_seed(self._seed, sight.sequence),
            sequence=sight.sequence,
            client_tag=self._tag,
            prefix=_prefix(sight),
        )
        latency_ms = (time.perf_counter() - start_s) * 1e3
        if chunk.checkpoint_hash != self._checkpoint_hash:
            raise EvaluationError(
                f"the server answered from checkpoint {chunk.checkpoint_hash[:12]!r}, at the start "
                f"it served {self._checkpoint_hash[:12]!r}: one run judges one checkpoint"
            )
        return ChunkReply(aloha_targets(chunk.action), latency_ms, chunk.durations)


class ScriptedChunks:
    """Chunks of a script, which needs no eyes: `chunk(time_s)` gives the targets from a time on."""

    needs_frames = False

    def __init__(self, chunk: Callable[[float], np.ndarray], rate_hz: float) -> None:
        self._chunk, self._rate_hz = chunk, rate_hz

    def ask(self, sight: RobotObservation) -> ChunkReply:
        """Give the script's targets from the sequence's time on; raises NoPlan."""
        return ChunkReply(self._chunk(sight.sequence / self._rate_hz))


def _prefix(sight: RobotObservation) -> ActionPrefix | None:
    if sight.rest is None:
        return None
    return ActionPrefix(split_groups(widen(sight.rest)), sight.delay_steps)


def sampler_seed(episode_seed: int, sequence: int) -> int:
    """Derive the seed of one request's noise: 0 … 2⁶⁴ − 1, the same in every run."""
    state = np.random.SeedSequence((episode_seed, sequence)).generate_state(1, np.uint64)
    return int(state[0])


def only_camera(spec: PolicySpec) -> str:
    """Name the policy's camera, which the simulator's top camera stands for.

    Raises EvaluationError unless the policy takes one camera and GR1's groups, one step each, and
    gives GR1's groups.
    """
    state = {group.name: (group.steps, group.dim) for group in spec.state}
    action = {group.name: group.dim for group in spec.action}
    if state != {name: (1, dim) for name, dim in GR1_DIMS.items()} or action != GR1_DIMS:
        raise EvaluationError(
            f"the server's policy is not one for ALOHA: expected one step of the groups "
            f"{', '.join(f'{name} {dim}' for name, dim in GR1_DIMS.items())}; got state {state} "
            f"(steps, width) and action {action}"
        )
    if [camera.steps for camera in spec.cameras] != [1]:
        cameras = ", ".join(f"{camera.name} × {camera.steps}" for camera in spec.cameras)
        raise EvaluationError(
            f"the simulator has one camera and sends one frame of it; the policy wants: {cameras}"
        )
    return spec.cameras[0].name
