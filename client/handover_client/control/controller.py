"""Real-time controller: plays a policy's chunks in a robot's own control loop, while it thinks.

Requests leave early enough that no chunk runs out, steps that have passed when an answer comes are
dropped, chunks are blended or continue each other (real-time chunking), and without an answer the
robot holds its last target.
"""

import warnings
from collections.abc import Callable
from fractions import Fraction
from math import ceil, inf, isclose
from typing import Literal, get_args

import numpy as np
from handover_proto import InvalidRequest, PolicySpec, ServerUnavailable, UnmetPrecondition

from handover_client.connection.foreign.base import ForeignClient
from handover_client.connection.policy_client import PolicyClient
from handover_client.control.blending import BLENDS, Switching, sends_rest
from handover_client.control.chunk_player import (
    ChunkPlayer,
    Interpolation,
    chunk_steps_per_control_step,
)
from handover_client.control.chunk_sources import ChunkRequest, ChunkSource, ServerChunks
from handover_client.control.joint_layout import GR1_LAYOUT, JointLayout
from handover_client.control.observation import ObserveFn, make_observation
from handover_client.control.real_time import RealTimeRequester
from handover_client.control.request_log import RequestLog
from handover_client.control.requester import DelayEstimate, EnvelopeWatch, RequestSchedule
from handover_client.control.simulated_time import SimulatedTimeRequester

Clock = Literal["wall", "simulated"]


class RealTimeController:
    """One episode of a robot whose loop calls `act` at every control step; a context manager.

        with RealTimeController(policy, task="Pick up the cube") as controller:
            for step in range(steps):
                robot.command(controller.act(step, robot.read))

    `act` never waits for the server (clock `wall`): requests are sent and received in a thread.
    """

    def __init__(
        self,
        policy: PolicyClient | ForeignClient | ChunkSource,
        task: str,
        control_rate_hz: float = 50.0,
        switching: Switching | None = None,
        *,
        execute_steps: int = 8,
        interpolation: Interpolation = "linear",
        policy_rate_hz: float = 0.0,
        reconnect_s: float = inf,
        clock: Clock = "wall",
        added_latency_s: Callable[[], float] = lambda: 0.0,
        delay_error_steps: int = 0,
    ) -> None:
        """The arguments are `handover rollout`'s flags of the same names, for any robot.

        policy: a connected client, or another source: ServerChunks(client, seed=0), for example
        task: the instruction, word for word as in the recordings
        switching: None for real-time chunking and a crossfade where the policy supports prefixes,
            else a crossfade
        execute_steps: of each chunk, at the policy's rate, before the next is requested
        policy_rate_hz: for a server that does not report its rate; 0: it does
        reconnect_s: how long to go on without an answer; then `act` raises ServerLost
        clock: `wall` for a robot; `simulated` for a simulation that waits for each answer, and
            gets it `added_latency_s` after its observation
        delay_error_steps: added to the expected delay, to see what a wrong one does

        Where the checkpoint says up to which latency it succeeds, a longer one is warned of, once.
        Raises UnmetPrecondition for a policy that is not one for ALOHA, whose rate is not certain,
        or that has no real-time chunking where it is asked for; InvalidRequest for an empty task;
        ValueError otherwise.
        """
        is_client = isinstance(policy, PolicyClient | ForeignClient)
        source = ServerChunks(policy) if is_client else policy
        spec = source.spec
        if switching is None:
            switching = "rtc_crossfade" if spec.supports_prefix else "crossfade"
        for word, kind in ((switching, Switching), (interpolation, Interpolation), (clock, Clock)):
            if word not in get_args(kind):
                raise ValueError(f"{word!r}: expected {', '.join(get_args(kind))}")
        rate_hz = find_policy_rate(spec, policy_rate_hz)
        _check(spec, task, switching, execute_steps)
        self._spec, self._task = spec, task
        self._layout: JointLayout = getattr(source, "layout", GR1_LAYOUT)
        self._switching: Switching = switching
        self._rates = rate_hz, control_rate_hz
        self._interpolation: Interpolation = interpolation
        self._schedule = RequestSchedule(
            chunk_steps_per_control_step(*self._rates), execute_steps, spec.horizon
        )
        self.log = RequestLog()
        """Latencies, outages, dropped steps, dry spells since the start; grows with each chunk."""
        kind = RealTimeRequester if clock == "wall" else SimulatedTimeRequester
        self._requester = kind(
            source, 1 / control_rate_hz, reconnect_s, added_latency_s, self.log.outages
        )
        self._player: ChunkPlayer | None = None  # from the first observation on
        self._delay, self._delay_error_steps = DelayEstimate(), delay_error_steps
        self._envelope = EnvelopeWatch(spec, task, switching, 1 / control_rate_hz)
        self._measures = clock == "wall"  # a simulation's latency is chosen
        self._step, self._due = -1, 0
        self._observed_at: Fraction | None = None  # of the last request: no later one goes back
        self._closed = False
        self.sequence: int | None = None
        """The last received chunk's: the policy's steps at its observation. None before."""
        self.latency_ms: float | None = None
        """The last received chunk's, as the robot saw it. None before."""

    def act(self, step: int, observe: ObserveFn) -> np.ndarray:
        """Return the joint targets of a control step: (D,) float32, in the robot's units.

        D is 14, rad and grippers 0 … 1, unless the source's layout is another robot's.

        step: control steps since the start, by the clock: a loop that missed some skips them
        observe: called when a request is due, and only then; returns the joints, (D,), and the
            camera's frame (or {camera: frame}), or an Observation; and as a third, where that was
            so a while ago, for how long in s: the chunk is then played as one of that moment

        It takes as long as `observe` and a little computing; it never waits for the server. Until
        the first chunk it returns the joints of the first observation. Raises what a request ended
        with: PolicyError where it would come again, ServerLost after `reconnect_s`; and
        InvalidRequest for other shapes.
        """
        if self._closed:
            raise ServerUnavailable("the controller was closed: make another one")
        if step <= self._step:
            raise ValueError(
                f"control step {step} after {self._step}: expected a later one, and a controller "
                "for each episode"
            )
        self._receive(step)
        if step >= self._due and self._requester.is_ready(step):
            self._requester.send(self._request(step, observe))
            self._receive(step)  # a simulation's answer that takes no time
        self._step = step
        player = self._player
        assert player is not None
        self.log.watch(player, step)
        return player.play(step)

    @property
    def has_chunk(self) -> bool:
        """Whether a chunk has come; until then the joints of the first observation are held."""
        return self._player is not None and not self._player.is_empty

    @property
    def hold_reason(self) -> str:
        """Why the robot holds its last target; empty while a chunk is played."""
        player = self._player
        if player is None or not self.has_chunk:
            reason = "no chunk yet"
        elif player.is_dry(self._step):
            reason = "the last chunk is over"
        else:
            return ""
        error = self._requester.error
        return f"{reason}: {error}" if error else reason

    @property
    def latency_warning(self) -> str:
        """That chunks come later than the checkpoint was measured at; empty while they do not."""
        return self._envelope.warning

    @property
    def dropped_steps(self) -> int:
        """How many of the chunks' steps had passed when their chunk came, since the start."""
        return self.log.dropped_steps

    @property
    def borders(self) -> list[int]:
        """Control steps at which a chunk took over from another, or joined it."""
        return self._player.borders if self._player else []

    @property
    def began(self) -> int:
        """Control step of the first chunk: until then the robot holds still."""
        return self._player.began if self._player else 0

    def close(self) -> None:
        """Stop asking; returns at once.

        A request under way ends by itself at its deadline (the client's `call_timeout_s`), or when
        the client is closed, and its thread with it.
        """
        if not self._closed:
            self._closed = True
            self._requester.close()

    def __enter__(self) -> "RealTimeController":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, step: int) -> None:
        """Play the chunk that is there by now, if any."""
        arrived = self._requester.receive(step)
        if arrived is None or self._player is None:
            return
        request, reply = arrived
        self.sequence, self.latency_ms = request.sequence, reply.latency_ms
        self.log.add(reply)
        self.log.dropped_steps += self._player.add(reply.targets, request.observed_at, now=step)
        self._delay.add(step - request.step)
        age = request.step - request.observed_at
        if self._measures and self._envelope.watch(self._delay.control_steps + int(age)):
            warnings.warn(self._envelope.warning, stacklevel=3)
        lag = step - request.observed_at
        came = ceil(lag * self._schedule.steps_per_control_step)
        if request.rest is not None:
            self.log.delays.append((request.delay_steps, came))
        self._due = self._schedule.due_after(request.step, expected_lag=lag)

    def _request(self, step: int, observe: ObserveFn) -> ChunkRequest:
        """Observe, and add what is still to play where the policy continues it."""
        seen = make_observation(observe(), self._spec, self._layout, self._task)
        observation, joints, age_s = seen
        age = Fraction(age_s * self._rates[1]).limit_denominator(1000)
        if self._player is None:
            self._player = ChunkPlayer(
                joints,
                *self._rates,
                self._interpolation,
                BLENDS[self._switching],
                self._layout.robot.grippers,
            )
        sequence, observed_at = self._schedule.sequence(step), step - age
        if self._observed_at is not None:
            observed_at = max(observed_at, self._observed_at)
        self._observed_at = observed_at
        rest = self._player.rest(observed_at) if sends_rest(self._switching) else None
        if rest is None or not len(rest):
            return ChunkRequest(step, sequence, observation, observed_at)
        # a chunk that comes sooner than expected has nothing to make up for
        delay = self._delay.policy_steps(self._schedule.steps_per_control_step, age)
        delay = min(max(0, delay + self._delay_error_steps), len(rest))
        is_guided = self._switching == "rtc_guided"
        return ChunkRequest(step, sequence, observation, observed_at, rest, delay, is_guided)


def find_policy_rate(spec: PolicySpec, told_hz: float | None) -> float:
    """Steps per second of a policy's chunks, in Hz: as its server tells, or else as was told.

    Raises UnmetPrecondition where neither tells it, and where both do and differ.
    """
    if spec.rate_hz and told_hz and not isclose(spec.rate_hz, told_hz, rel_tol=1e-6):
        raise UnmetPrecondition(
            f"the server says that its {spec.policy!r} policy acts at {spec.rate_hz:g} Hz, "
            f"--policy-rate-hz (policy_rate_hz) says {told_hz:g}: leave it out, or correct the "
            "server's"
        )
    if not (spec.rate_hz or told_hz):
        raise UnmetPrecondition(
            f"the server does not tell at which rate its {spec.policy!r} policy acts: expected "
            "--policy-rate-hz HZ (policy_rate_hz), the steps of its chunks per second"
        )
    return spec.rate_hz or told_hz or 0.0


def _check(spec: PolicySpec, task: str, switching: Switching, execute_steps: int) -> None:
    if not task.strip():
        raise InvalidRequest("task", "the instruction in words, as in the recordings", repr(task))
    if sends_rest(switching) and not spec.supports_prefix:
        raise UnmetPrecondition(
            f"switching {switching}: the server's {spec.policy!r} policy has no real-time "
            "chunking; use naive, ensemble or crossfade"
        )
    if not 1 <= execute_steps <= spec.horizon:
        raise ValueError(
            f"execute_steps is {execute_steps}, expected 1 to {spec.horizon}: the policy's chunks "
            f"have {spec.horizon} steps"
        )
