"""Interface of the chunk requesters (real time, simulated time), and the schedule of requests.

Times are counted in control steps; requests are kept on the policy's own grid of steps.
"""

import abc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from handover_proto import PolicySpec

from handover_client.control.chunk_sources import ChunkReply, ChunkRequest, ChunkSource
from handover_client.control.retries import Outage

LAGS_REMEMBERED = 20  # requests
LAG_QUANTILE = Fraction(9, 10)  # of them that came no later than is expected of the next


class ChunkRequester(abc.ABC):
    """Carries one request at a time to a source of chunks, and again after failures."""

    def __init__(
        self,
        source: ChunkSource,
        period_s: float,
        bound_s: float,
        latency_s: Callable[[], float],
        outages: list[Outage],
    ) -> None:
        """Send nothing yet.

        period_s: of a control step
        bound_s: how long to go on without an answer
        latency_s: returns a latency for each answer: added, or in simulated time all of it
        outages: where the outages go
        """
        self._source, self._period_s, self._bound_s = source, period_s, bound_s
        self._latency_s, self._outages = latency_s, outages

    @property
    def error(self) -> str:
        """The error of the outage that lasts now; empty while there is none."""
        return ""

    @abc.abstractmethod
    def is_ready(self, step: int) -> bool:
        """Return whether a request may be sent: none is under way, no pause after a failure."""

    @abc.abstractmethod
    def send(self, request: ChunkRequest) -> None:
        """Send a request at its control step; raises as `receive` does."""

    @abc.abstractmethod
    def receive(self, step: int) -> tuple[ChunkRequest, ChunkReply] | None:
        """Return the request under way and its reply, once it is there by a control step.

        Raises ServerLost past the bound, and every error that would come again.
        """

    def close(self) -> None:  # noqa: B027, simulated time has nothing to end
        """End what is under way."""


@dataclass(frozen=True)
class RequestSchedule:
    """Ask again when `execute_steps` of a chunk's `horizon` steps have been played."""

    steps_per_control_step: Fraction  # chunk steps that pass in one control step
    execute_steps: int
    horizon: int

    def sequence(self, step: int) -> int:
        """Count the policy's steps up to a control step, to the nearest: 20 Hz for 50 Hz."""
        return round(step * self.steps_per_control_step)

    def due_after(self, step: int, expected_lag: Fraction | int = 0) -> int:
        """Return the control step at which to ask next, after a request at `step`.

        expected_lag: control steps from an observation until its answer will be there; where the
        chunk would be over before that, the request is made as much earlier. It is always after
        `step`: one of the policy's steps is further on than rounding to them goes back.
        """
        lag = ceil(expected_lag * self.steps_per_control_step)
        executed = max(1, min(self.execute_steps, self.horizon - lag))
        return ceil((self.sequence(step) + executed) / self.steps_per_control_step)


class DelayEstimate:
    """The control steps that the next answer will take: a quantile of the last answers'.

    The longest would let one late answer rule the next twenty requests, and too long a delay makes
    more of each chunk the former one's. Too short a one is worse, since steps that were played are
    then not those that the chunk continues: it rises at once, and falls by one step at a time.
    """

    def __init__(self) -> None:
        self._lags: deque[int] = deque(maxlen=LAGS_REMEMBERED)
        self._expected = 0

    def add(self, lag: int) -> None:
        """Note the control steps that an answer took."""
        self._lags.append(lag)
        ordered = sorted(self._lags)
        quantile = ordered[ceil(LAG_QUANTILE * len(ordered)) - 1]
        self._expected = max(quantile, self._expected - 1)

    @property
    def control_steps(self) -> int:
        """The expected delay; 0 before any."""
        return self._expected

    def policy_steps(self, steps_per_control_step: Fraction, age: Fraction | int = 0) -> int:
        """Return the expected delay in whole steps of the policy, rounded up; 0 before any.

        age: control steps that the observation is old already
        """
        return ceil((self._expected + age) * steps_per_control_step)


class EnvelopeWatch:
    """Whether chunks come later than a checkpoint's success was measured at."""

    def __init__(self, spec: PolicySpec, task: str, switching: str, period_s: float) -> None:
        """Find the envelopes of a way of switching: the instruction's own, else those of all tasks.

        period_s: of a control step
        """
        same = [each for each in spec.latency_envelopes if each.switching == switching]
        same = [each for each in same if each.task == task] or same
        self._envelope = min(same, key=lambda each: each.latency_ms, default=None)
        self._period_ms, self._checkpoint = 1e3 * period_s, spec.checkpoint_name
        self.warning = ""
        """What is wrong, from the first answer on that was too late; empty before it."""

    def watch(self, control_steps: int) -> bool:
        """Note the delay that is expected, from the frames on; tells whether the warning is new.

        An answer is there at the first control step after it: it took more than a step less.
        """
        envelope, took_ms = self._envelope, (control_steps - 1) * self._period_ms
        if envelope is None or self.warning:
            return False
        most_ms = envelope.latency_ms + envelope.jitter_ms
        if took_ms >= most_ms and control_steps > 1:
            self.warning = (
                f"chunks come more than {took_ms:.0f} ms after what they answer was seen; "
                f"{self._checkpoint} was measured to succeed as without latency up to "
                f"{envelope.latency_ms:g} ± {envelope.jitter_ms:g} ms ({envelope.switching}, "
                f'{envelope.episodes} episodes, "{envelope.task}")'
            )
        return bool(self.warning)
