"""The account of a fault: every request that was sent, and all that came back for it."""

import dataclasses
import itertools
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
from handover_proto.errors import PolicyError

ANSWERED = "answered"
SLACK_S = 10.0  # for a caller's thread to wake up on a busy machine, after its deadline
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def outcome_of(error: PolicyError | None) -> str:
    """What became of a request: answered, or the status's name."""
    return ANSWERED if error is None else _CODES[error.status]


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    fault: str
    injected: str
    outcomes: dict[str, int]
    """Of all requests, from before the fault to after it."""
    lost: int
    """Requests whose caller had neither answer nor error when its deadline was over."""
    duplicated: int
    """Sequences that the server answered twice."""
    recovery_s: float | None
    """Until the next answer, counted from `recovery_from`; None where service never stopped."""
    recovery_from: str = ""
    remark: str = ""


@dataclass
class _Entry:
    sent_s: float
    deadline_s: float
    told_s: list[tuple[float, str]] = field(default_factory=list)
    answers: int = 0


class Ledger:
    """Sequences that are given out once, and what came back for each; threads share it."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._changed = threading.Condition()

    def send(self, deadline_s: float) -> int:
        """Open an entry for a request that its caller waits `deadline_s` for."""
        with self._changed:
            sequence = len(self._entries) + 1
            now = time.monotonic()
            self._entries[sequence] = _Entry(now, now + deadline_s)
        return sequence

    def tell(self, sequence: int, outcome: str, by_server: bool = True) -> None:
        """Note what a caller was told; `by_server`: by an answer that carries the sequence."""
        with self._changed:
            entry = self._entries[sequence]
            entry.told_s.append((time.monotonic(), outcome))
            entry.answers += by_server
            self._changed.notify_all()

    def wait_for_answers(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until `count` more requests have been answered."""
        wanted = self.outcomes()[ANSWERED] + count
        with self._changed:
            enough = self._changed.wait_for(
                lambda: self._count()[ANSWERED] >= wanted, timeout=timeout_s
            )
        assert enough, f"no {count} more answers within {timeout_s:g} s: {self.outcomes()}"

    def outcomes(self) -> "Counter[str]":
        """How often what was told first."""
        with self._changed:
            return self._count()

    def first_answer_after(self, at_s: float) -> float:
        """Seconds from `at_s` (time.monotonic()) to the next answer."""
        with self._changed:
            times = [at for at in self._answer_times() if at > at_s]
        return round(min(times) - at_s, 3)

    def longest_gap_s(self) -> float:
        """The longest time between two answers."""
        with self._changed:
            times = sorted(self._answer_times())
        return round(max(b - a for a, b in itertools.pairwise(times)), 3)

    def latencies(self) -> str:
        """Tell how long the answered requests took."""
        with self._changed:
            taken_s = sorted(
                entry.told_s[0][0] - entry.sent_s
                for entry in self._entries.values()
                if entry.told_s and entry.told_s[0][1] == ANSWERED
            )
        return f"answers took {statistics.median(taken_s):.1f} s (median) to {taken_s[-1]:.1f} s"

    def finding(self, fault: str, injected: str, **more: object) -> Finding:
        """Sum up; to be called once every caller has ended."""
        with self._changed:
            entries = self._entries.values()
            lost = sum(
                not entry.told_s or entry.told_s[0][0] > entry.deadline_s + SLACK_S
                for entry in entries
            )
            duplicated = sum(entry.answers > 1 for entry in entries)
            outcomes = dict(self._count().most_common())
        values = {"recovery_s": None, **more}
        return Finding(fault, injected, outcomes, lost, duplicated, **values)  # type: ignore

    def _answer_times(self) -> list[float]:
        told = itertools.chain.from_iterable(entry.told_s for entry in self._entries.values())
        return [at for at, outcome in told if outcome == ANSWERED]

    def _count(self) -> "Counter[str]":
        told = (entry.told_s[0][1] for entry in self._entries.values() if entry.told_s)
        return Counter(told)


def from_json(values: dict) -> Finding:
    """Read a finding that another process wrote."""
    return Finding(**{field.name: values[field.name] for field in dataclasses.fields(Finding)})
