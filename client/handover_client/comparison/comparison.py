"""Comparison of two runs: their figures, the differences, and which are better or worse.

Every kind of run (replay, rollout) fills a Comparison; the terminal and the page show any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handover_client.results.formatting import percent
from handover_client.results.sequential import Interval, decided_after
from handover_client.results.statistics import PairedOutcomes

SHARE = "share"


@dataclass(frozen=True)
class Change:
    """One figure before and after."""

    name: str
    before: float | None
    after: float | None
    more_is_better: bool | None  # None where neither is
    style: str = ".5f"  # how it is written; SHARE for shares

    @property
    def difference(self) -> float | None:
        """After minus before; None where one of them is missing."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before

    @property
    def verdict(self) -> str:
        """ "better", "worse" or nothing."""
        if not self.difference or self.more_is_better is None:
            return ""
        return "better" if (self.difference > 0) == self.more_is_better else "worse"

    def cells(self) -> tuple[str, str, str]:
        """Write before, after and their difference for people."""
        return (
            _written(self.before, self.style),
            _written(self.after, self.style),
            _written_difference(self.difference, self.style),
        )


@dataclass(frozen=True)
class Section:
    """Figures that belong together."""

    title: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Pairing:
    """The same episodes in both runs, by one outcome; `before` is a, `after` is b."""

    outcome: str
    counts: PairedOutcomes
    sequence: tuple[Interval, ...] = ()  # of b's success rate less a's, pair by pair

    def verdict(self) -> str:
        """McNemar's test on the episodes in which only one of the runs succeeded, in words."""
        p_value = self.counts.p_value
        written = f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"
        meaning = "the runs differ" if p_value < 0.05 else "chance alone would explain it"
        return f"McNemar's exact test, two-sided: {written}; {meaning}"

    @property
    def decided_after(self) -> int | None:
        """The pairs after which the runs were known to differ, however often one looked."""
        return decided_after(self.sequence, 0.0)

    def anytime_verdict(self) -> str:
        """What may be said by somebody who stops when it is decided, in words."""
        if not self.sequence:
            return ""
        last = self.sequence[-1]
        written = f"{100 * last.low:+.1f} to {100 * last.high:+.1f} points"
        if self.decided_after is None:
            return f"looked at after every pair: {written}; not decided"
        better = "after" if last.low > 0 else "before"
        return (
            f"looked at after every pair: {written}; decided after {self.decided_after} of "
            f"{last.outcomes} pairs: {better} is better"
        )


@dataclass(frozen=True)
class Comparison:
    """Two runs of one kind, before and after."""

    kind: str
    before: str  # the policy, in words
    after: str
    mismatches: tuple[str, ...]  # reasons why the figures are not comparable
    notes: tuple[str, ...]  # other differences between the runs
    sections: tuple[Section, ...]
    pairings: tuple[Pairing, ...] = ()  # of runs whose episodes have a yes or no


def settings_that_differ(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[str, ...]:
    """List the settings that two runs do not share; names: {key in metrics.json: in words}."""
    return tuple(
        f"{words}: {_brief(before.get(key))} and {_brief(after.get(key))}"
        for key, words in names.items()
        if before.get(key) != after.get(key)
    )


def latency_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Compare the latency of a chunk, in ms; missing where a run had no server.

    A stage that neither run's server reports, as other projects' do, is left out.
    """
    known = {stage for figures in (before, after) for stage in figures["latency_ms"] or {}}

    def figure(figures: Mapping[str, Any], stage: str, name: str) -> float | None:
        latency = figures["latency_ms"] or {}
        return latency[stage][name] if stage in latency else None

    return tuple(
        Change(
            f"{stage} {name}".replace("_", " "),
            figure(before, stage, name),
            figure(after, stage, name),
            False,
            ".2f",
        )
        for stage in ("client", "server_total")
        if stage in known or not known
        for name in ("p50", "p95", "p99")
    )


def _written(value: float | None, style: str) -> str:
    if value is None:
        return "–"
    return percent(value) if style == SHARE else format(value, style)


def _written_difference(value: float | None, style: str) -> str:
    if value is None:
        return "–"
    # between two shares are points: from 50 % to 60 % is not +10 %
    return f"{100 * value:+.1f} points" if style == SHARE else format(value, f"+{style}")


def _brief(value: object) -> str:
    text = "not recorded" if value is None else str(value) or "none"
    return text if len(text) <= 40 else f"{text[:37]}…"
