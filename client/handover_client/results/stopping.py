"""Question about a success rate that an evaluation stops at once it is answered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handover_common import UsageError

from handover_client.results.sequential import Interval, decided_after, mean_sequence

OUTCOMES = {"success": "success", "strict": "strict_success"}
_FORM = re.compile(r"\s*(\w+)\s*([<>])\s*([0-9.]+)\s*(%?)\s*")


@dataclass(frozen=True)
class Question:
    """Whether the rate of an outcome is above (or below) a threshold."""

    outcome: str
    """A key of OUTCOMES"""
    relation: str
    """ > or < """
    threshold: float
    """Rate, 0 … 1"""

    @staticmethod
    def parse(text: str) -> "Question":
        """Read "success > 0.9", "strict < 80 %" and the like. Raises UsageError."""
        found = _FORM.fullmatch(text)
        rate = -1.0
        if found is not None and found[3].count(".") < 2 and found[3] != ".":
            rate = float(found[3]) / (100 if found[4] else 1)
        if found is None or found[1] not in OUTCOMES or not 0 < rate < 1:
            raise UsageError(
                f'--until "{text}": expected an outcome ({", ".join(OUTCOMES)}), > or <, and a '
                'rate between 0 and 1, as in "success > 0.9"'
            )
        return Question(found[1], found[2], rate)

    def __str__(self) -> str:
        return f"{self.outcome} {self.relation} {self.threshold:g}"

    def sequence(self, episodes: Sequence[Any]) -> list[Interval]:
        """Give the rate's interval after each episode; they have the outcomes as attributes."""
        return mean_sequence(float(getattr(each, OUTCOMES[self.outcome])) for each in episodes)

    def answer(self, intervals: Sequence[Interval]) -> dict[str, Any]:
        """Tell after how many episodes it was answered, and how: for metrics.json.

        The answer is True, False, or None for open; it is wrong with a probability of at most 5 %.
        """
        after = decided_after(intervals, self.threshold)
        answer = None
        if after is not None:
            above = intervals[after - 1].low > self.threshold
            answer = above == (self.relation == ">")
        return {"question": str(self), "answer": answer, "decided_after": after}
