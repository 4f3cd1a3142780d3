"""Question about a success rate that an evaluation stops at once it is answered."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handover_common import UsageError

if TYPE_CHECKING:  # numpy is too slow for --help
    from handover_client.results.sequential import Interval

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

    def value(self, episode: Any) -> float:
        """Give an episode's outcome; it has the outcomes as attributes."""
        return float(getattr(episode, OUTCOMES[self.outcome]))

    def answer(self, interval: "Interval") -> bool | None:
        """Answer from what is known of the rate; None while it is open."""
        if not interval.excludes(self.threshold):
            return None
        return (interval.low > self.threshold) == (self.relation == ">")
