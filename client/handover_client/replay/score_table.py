"""How scores are written for people, in the terminal and in the reports alike."""

from collections.abc import Mapping
from typing import Any

from handover_client.replay.error_metrics import THRESHOLDS, threshold_key

_LIMITS = tuple(f"@{threshold_key(limit)}" for limit in THRESHOLDS)

# the columns of a table of scores: (what the group is about, its columns)
COLUMN_GROUPS = (
    ("error", ("MSE", "MAE")),
    ("success, %", _LIMITS),
    ("accuracy, %", _LIMITS),
    ("drift", ("/step",)),
)


def score_cells(scores: Mapping[str, Any]) -> list[str]:
    """Write a part's figures in the order of COLUMN_GROUPS."""
    shares = [*scores["success_at"].values(), *scores["accuracy_at"].values()]
    return [
        f"{scores['mse']:.5f}",
        f"{scores['mae']:.4f}",
        *[f"{100 * share:.1f}" for share in shares],
        f"{scores['drift']:+.0e}",
    ]


def percent(share: float) -> str:
    """Write a share as a percentage: 0.625 -> "62.5 %"."""
    return f"{100 * share:.1f} %"
