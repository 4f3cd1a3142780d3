"""Figures of a driven session, as metrics.json holds them; terminal and report show no others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from handover_client.drive.recording import Episode
from handover_client.results.latency import percentiles
from handover_client.results.statistics import wilson_95

DEFINITIONS = {
    "success": "the operator's word, over the episodes that were judged",
    "guarded_steps": "control steps in which the guard changed what was asked for",
    "guard": "the same by kind; a step may have several",
    "holds": "control steps in which the robot stayed where it was, by reason",
    "intervention": "control steps that a person or the expert drove",
    "latency_ms": "from the observation at hand to the chunk at hand",
    "late_ms": "how long after its own time a control step began",
    "late_steps": "control steps that began more than a period late: steps were missed",
}


def drive_figures(
    episodes: Sequence[Episode], late_ms: Sequence[float], period_s: float
) -> dict[str, Any]:
    """Summarize a session; late_ms: of the control steps of this run, not of an earlier one."""
    judged = [each.outcome == "success" for each in episodes if each.outcome]
    latency = [value for each in episodes for value in each.latency_ms]
    steps = sum(each.steps for each in episodes)
    return {
        "definitions": DEFINITIONS,
        "episodes": len(episodes),
        "judged": len(judged),
        "successes": sum(judged),
        "success_rate": sum(judged) / len(judged) if judged else None,
        "wilson_95": list(wilson_95(sum(judged), len(judged))) if judged else None,
        "steps": steps,
        "period_ms": 1e3 * period_s,
        "seconds": steps * period_s,
        "intervention_steps": sum(each.intervention_steps for each in episodes),
        "guarded_steps": sum(each.guarded_steps for each in episodes),
        "guard": _total([each.guard for each in episodes]),
        "holds": _total([each.holds for each in episodes]),
        "latency_ms": percentiles(latency) if latency else None,
        "late_ms": percentiles(late_ms) if late_ms else None,
        "late_steps": sum(late > 1e3 * period_s for late in late_ms),
        "dropped_steps": sum(each.dropped_steps for each in episodes),
        "outages": sum(each.outages for each in episodes),
        "per_episode": [
            {name: value for name, value in asdict(each).items() if name != "latency_ms"}
            for each in episodes
        ],
    }


def _total(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())
