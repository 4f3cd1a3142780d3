"""Two runs side by side: what was compared, what differs, and whether that is better or worse.

Every kind of run (replay, rollout) fills a Comparison; the terminal and the page show any of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_client.errors import EvaluationError
from handover_client.replay.score_table import percent
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
        """Say "better", "worse" or nothing."""
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

    def verdict(self) -> str:
        """Say what McNemar's test makes of the episodes that only one of the runs succeeded in."""
        p_value = self.counts.p_value
        written = f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"
        meaning = "the runs differ" if p_value < 0.05 else "chance alone would explain it"
        return f"McNemar's exact test, two-sided: {written}; {meaning}"


@dataclass(frozen=True)
class Comparison:
    """Two runs of one kind, before and after."""

    kind: str
    before: str  # which policy, in words
    after: str
    mismatches: tuple[str, ...]  # what makes the figures incomparable
    notes: tuple[str, ...]  # what else differs between the runs
    sections: tuple[Section, ...]
    pairings: tuple[Pairing, ...] = ()  # of runs whose episodes have a yes or no


def read_run(folder: Path) -> dict[str, Any]:
    """Read a run's metrics.json; raises EvaluationError where there is none."""
    path = folder / "metrics.json"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(
            f"{folder} has no metrics.json: expected the --output folder of an evaluation"
        ) from None
    except NotADirectoryError:
        raise EvaluationError(
            f"{folder} is a file, expected the --output folder of an evaluation"
        ) from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    if not isinstance(figures, dict) or not isinstance(figures.get("kind"), str):
        raise EvaluationError(f"{path} is not an evaluation's: it has no 'kind'")
    return figures


def settings_that_differ(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[str, ...]:
    """List the settings that two runs do not share; names: {key in metrics.json: in words}."""
    return tuple(
        f"{words}: {_brief(before.get(key))} and {_brief(after.get(key))}"
        for key, words in names.items()
        if before.get(key) != after.get(key)
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
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
