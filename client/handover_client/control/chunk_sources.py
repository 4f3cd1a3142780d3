"""Sources of a control loop's action chunks: a policy server, or a script."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    ARM_JOINTS,
    GRIPPER_JOINTS,
    ActionPrefix,
    Observation,
    PolicySpec,
    PrefixMethod,
    StageDurations,
)

from handover_client.connection.foreign.open import AnyClient
from handover_client.control.joint_layout import JointLayout, find_joint_layout
from handover_client.errors import EvaluationError, InvalidReply

# beyond any ALOHA's joints and any policy's overshoot: no place to clip, but proof of a fault
FARTHEST_RAD = 2 * np.pi
WIDEST_GRIPPER = (-1.0, 2.0)


@dataclass(frozen=True)
class ChunkRequest:
    """A request for one chunk.

    step: the control step at which it is sent
    sequence: the policy's steps since the episode's start
    observed_at: the control step of the observation, which may be an earlier one, and a fraction
    rest: (steps, D), what the robot played since the observation, and has still to play of its last
        chunk; None where that does not matter
    delay_steps: how many of them it will have played when the answer is there
    guided: whether the policy is to be guided even where it has learnt to continue them
    """

    step: int
    sequence: int
    observation: Observation
    observed_at: Fraction | int = 0
    rest: np.ndarray | None = None
    delay_steps: int = 0
    guided: bool = False


@dataclass(frozen=True)
class ChunkReply:
    """Joint targets (horizon, D) float32; and, where a server gave them, what that took."""

    targets: np.ndarray
    latency_ms: float = 0.0
    durations: StageDurations | None = None
    prefix_method: PrefixMethod = PrefixMethod.NONE


class ChunkSource(Protocol):
    """Interface between a control loop and whatever decides what the robot does.

    One whose observations have other groups than GR1's has a `layout` too: a JointLayout.
    """

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
        client: AnyClient,
        spec: PolicySpec | None = None,
        *,
        layout: JointLayout | None = None,
        seed: int | None = None,
        client_tag: str = "",
        same_weights: bool = False,
    ) -> None:
        """Check that the policy is one for the robot; raises UnmetPrecondition otherwise.

        spec: what the server serves; None for the client's info. With a spec the client need not be
            connected yet: a server may be away when an episode begins.
        layout: where the policy has the joints; None for an ALOHA where its groups' names say it
        seed: of the episode, from which each request's follows; None lets the server draw them
        same_weights: refuse answers from another checkpoint than the spec's
        """
        self._client, self.spec = client, client.info.spec if spec is None else spec
        self._seed, self._tag, self._same_weights = seed, client_tag, same_weights
        self._has_met = False
        self.layout = layout or find_joint_layout(self.spec)

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
            prefix=_prefix(request, self.layout),
        )
        latency_ms = (time.perf_counter() - start_s) * 1e3
        if self._same_weights and chunk.checkpoint_hash != self.spec.checkpoint_hash:
            raise EvaluationError(
                f"the server answered from checkpoint {chunk.checkpoint_hash[:12]!r}, at the start "
                f"it served {self.spec.checkpoint_hash[:12]!r}: one run judges one checkpoint"
            )
        targets = self.layout.targets(chunk.action)
        if self.layout.robot.is_aloha:
            check_targets(targets)
        return ChunkReply(targets, latency_ms, chunk.durations, chunk.prefix_method)


class ScriptedChunks:
    """Chunks of a script, which needs no camera: `chunk(time_s)` is what to play from a time on."""

    def __init__(self, chunk: Callable[[float], np.ndarray], rate_hz: float, horizon: int) -> None:
        self._chunk = chunk
        self.spec = PolicySpec("scripted", (), (), (), horizon=horizon, rate_hz=rate_hz)

    def ask(self, request: ChunkRequest) -> ChunkReply:
        """Return the script's targets from the sequence's time on; raises NoPlan."""
        return ChunkReply(self._chunk(request.sequence / self.spec.rate_hz))


def _prefix(request: ChunkRequest, layout: JointLayout) -> ActionPrefix | None:
    if request.rest is None:
        return None
    groups = layout.action_groups(request.rest)
    return ActionPrefix(groups, request.delay_steps, request.guided)


def check_targets(targets: np.ndarray) -> None:
    """Raise InvalidReply for joint targets, (steps, 14), that no ALOHA could ever take."""
    ranges = {ARM_JOINTS: (-FARTHEST_RAD, FARTHEST_RAD), GRIPPER_JOINTS: WIDEST_GRIPPER}
    for joints, (least, most) in ranges.items():
        values = targets[:, list(joints)]
        if not ((values >= least) & (values <= most)).all():
            step, place = np.argwhere(~((values >= least) & (values <= most)))[0]
            name = ALOHA_JOINTS[joints[place]]
            got = f"{values[step, place]:g} at step {step}"
            raise InvalidReply(f"the target of {name}", f"{least:.4g} to {most:.4g}", got)


def sampler_seed(episode_seed: int, sequence: int) -> int:
    """Derive the seed of one request's noise: 0 … 2⁶⁴ − 1, the same in every run."""
    state = np.random.SeedSequence((episode_seed, sequence)).generate_state(1, np.uint64)
    return int(state[0])
