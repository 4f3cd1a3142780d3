"""Paired difference of a suite's cell to its control, on the same seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from handover_client.results.statistics import pair, paired_difference_95

PAIRED = {
    "difference": "success of the cell minus that of the control on the same seeds",
    "difference_95": "95 % interval of a paired difference (Agresti and Min, 2005)",
    "p_value": "McNemar's exact two-sided test on the seeds on which the two differ",
}


def difference_figures(control: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two runs on the same seeds, each by its metrics.json."""
    pairs = pair(zip(_outcomes(control), _outcomes(cell), strict=True))
    return {
        "difference": cell["success_rate"] - control["success_rate"],
        "difference_95": list(paired_difference_95(pairs)),
        "only_control": pairs.only_a,
        "only_changed": pairs.only_b,
        "p_value": pairs.p_value,
    }


def _outcomes(figures: Mapping[str, Any]) -> Sequence[bool]:
    return [each["success"] for each in sorted(figures["per_episode"], key=lambda e: e["seed"])]
