"""Findings of a dataset's check: faults, which would fail or train wrongly, apart from notes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "note"]

EMPTY_INSTRUCTION = (
    "the instruction is empty, expected words that say what the robot is to do: write them into "
    "the dataset's tasks, or convert with --task TEXT"
)


@dataclass(frozen=True)
class Finding:
    """One thing that a check found in a dataset.

    kind: its sort in one or two words, the same for all findings of a sort: "structure", "frozen
    frames"; episode and step: where it begins, None where it is not one episode's, or one step's
    """

    severity: Severity
    kind: str
    text: str
    episode: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        place = "" if self.episode is None else f"episode {self.episode}"
        place += "" if self.step is None else f", step {self.step}"
        return f"{place}: {self.text}" if place else self.text


def fault(kind: str, text: str, episode: int | None = None, step: int | None = None) -> Finding:
    """Make a finding of what would fail or train wrongly."""
    return Finding("fault", kind, " ".join(text.split()), episode, step)


def note(kind: str, text: str, episode: int | None = None, step: int | None = None) -> Finding:
    """Make a finding that somebody should look at."""
    return Finding("note", kind, " ".join(text.split()), episode, step)


def in_reading_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: faults first, those of the whole dataset first; duplicates are dropped."""

    def place(one: Finding) -> tuple[bool, int, int]:
        return one.severity == "note", _or_first(one.episode), _or_first(one.step)

    return tuple(sorted(dict.fromkeys(findings), key=place))


def _or_first(number: int | None) -> int:
    return -1 if number is None else number
