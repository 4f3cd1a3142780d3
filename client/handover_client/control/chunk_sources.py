"""Sources of a control loop's action chunks: a policy server, or a script."""

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
    UnmetPrecondition,
    aloha_targets,
    split_groups,
    widen,
)

from handover_client.connection.policy_client import PolicyClient
from handover_client.errors import EvaluationError


@dataclass(frozen=True)
class ChunkRequest:
    """A request for one chunk, at the moment of its observation.

    step: the control step
    sequence: the policy's steps since the episode's start
    rest: (steps, 14), what the robot has still to play of its last chunk; None where that does not
        matter
    delay_steps: how many of them it will have played when the answer is there
    """

    step: int
    sequence: int
    observation: Observation
    rest: np.ndarray | None = None
    delay_steps: int = 0


@dataclass(frozen=True)
class ChunkReply:
    """Joint targets (horizon, 14) float32; and, where a server gave them, what that took."""

    targets: np.ndarray
    latency_ms: float = 0.0
    durations: StageDurations | None = None


class ChunkSource(Protocol):
    """Interface between a control loop and whatever decides what the robot does."""

    @property
    def spec(self) -> PolicySpec:
        """Cameras that are needed, chunk length and rate, and whether prefixes are supported."""
        ...

    def ask(self, request: ChunkRequest) -> ChunkReply:
        """Return the chunk that follows the observation; may raise PolicyError."""
        ...


class ServerChunks:
    """Chunks of one episode from a policy server."""

    def __init__(
        self,
        client: PolicyClient,
        spec: PolicySpec | None = None,
        *,
        seed: int | None = None,
        client_tag: str = "",
        same_weights: bool = False,
    ) -> None:
        """Check that the policy is one for ALOHA; raises UnmetPrecondition otherwise.

        spec: what the server serves; None for the client's info. With a spec the client need not be
            connected yet: a server may be away when an episode begins.
        seed: of the episode, from which each request's follows; None lets the server draw them
        same_weights: refuse answers from another checkpoint than the spec's
        """
        self._client, self.spec = client, client.info.spec if spec is None else spec
        self._seed, self._tag, self._same_weights = seed, client_tag, same_weights
        self._has_met = False
        if misfit := aloha_misfit(self.spec):
            raise UnmetPrecondition(
                f"{misfit}; for another robot ask with PolicyClient.infer, and play the chunk's "
                "groups in a loop of your own"
            )

    def ask(self, request: ChunkRequest) -> ChunkReply:
        """Ask the server; the sampler's seed follows from the episode's and the sequence.

        Raises PolicyError, and EvaluationError when other weights answer than may.
        """
        if not self._has_met:
            self._client.get_info()
            self._has_met = True
        start_s = time.perf_counter()
        chunk = self._client.infer(
            request.observation,
            seed=None if self._seed is None else sampler_seed(self._seed, request.sequence),
            sequence=request.sequence,
            client_tag=self._tag,
            prefix=_prefix(request),
        )
        latency_ms = (time.perf_counter() - start_s) * 1e3
        if self._same_weights and chunk.checkpoint_hash != self.spec.checkpoint_hash:
            raise EvaluationError(
                f"the server answered from checkpoint {chunk.checkpoint_hash[:12]!r}, at the start "
                f"it served {self.spec.checkpoint_hash[:12]!r}: one run judges one checkpoint"
            )
        return ChunkReply(aloha_targets(chunk.action), latency_ms, chunk.durations)


class ScriptedChunks:
    """Chunks of a script, which needs no camera: `chunk(time_s)` is what to play from a time on."""

    def __init__(self, chunk: Callable[[float], np.ndarray], rate_hz: float, horizon: int) -> None:
        self._chunk = chunk
        self.spec = PolicySpec("scripted", (), (), (), horizon=horizon, rate_hz=rate_hz)

    def ask(self, request: ChunkRequest) -> ChunkReply:
        """Return the script's targets from the sequence's time on; raises NoPlan."""
        return ChunkReply(self._chunk(request.sequence / self.spec.rate_hz))


def _prefix(request: ChunkRequest) -> ActionPrefix | None:
    if request.rest is None:
        return None
    return ActionPrefix(split_groups(widen(request.rest)), request.delay_steps)


def sampler_seed(episode_seed: int, sequence: int) -> int:
    """Derive the seed of one request's noise: 0 … 2⁶⁴ − 1, the same in every run."""
    state = np.random.SeedSequence((episode_seed, sequence)).generate_state(1, np.uint64)
    return int(state[0])


def aloha_misfit(spec: PolicySpec) -> str:
    """Describe why a policy cannot drive an ALOHA; empty where it can.

    It has to take GR1's groups, one step each, and to return them.
    """
    if spec.first_step:
        return (
            f"the policy's chunks begin {spec.first_step} steps after the observation: only those "
            "that begin with it are played in closed loop (action delta_indices 0, 1, 2 …)"
        )
    state = {group.name: (group.steps, group.dim) for group in spec.state}
    action = {group.name: group.dim for group in spec.action}
    if state == {name: (1, dim) for name, dim in GR1_DIMS.items()} and action == GR1_DIMS:
        return ""
    return (
        f"the server's policy is not one for ALOHA: expected one step of the groups "
        f"{', '.join(f'{name} {dim}' for name, dim in GR1_DIMS.items())}; got state {state} "
        f"(steps, width) and action {action}"
    )


def only_camera(spec: PolicySpec) -> str:
    """Return the name of the policy's camera, which the simulator's top camera stands for.

    Raises EvaluationError unless the policy is one for ALOHA with one frame of one camera.
    """
    if misfit := aloha_misfit(spec):
        raise EvaluationError(misfit)
    if [camera.steps for camera in spec.cameras] != [1]:
        cameras = ", ".join(f"{camera.name} × {camera.steps}" for camera in spec.cameras)
        raise EvaluationError(
            f"the simulator has one camera and sends one frame of it; the policy wants: {cameras}"
        )
    return spec.cameras[0].name
