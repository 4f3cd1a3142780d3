"""Tables of figures for people, the same in the terminal and on the page: scores, and latency."""

from collections.abc import Mapping
from typing import Any

from handover_client.replay.error_metrics import THRESHOLDS, threshold_key

_LIMITS = tuple(f"@{threshold_key(limit)}" for limit in THRESHOLDS)

# the columns of a table of scores: (what the group is about, its columns)
COLUMN_GROUPS = (
    ("error", ("MAE", "MSE")),
    ("success, %", _LIMITS),
    ("accuracy, %", _LIMITS),
    ("drift", ("/step",)),
)

# the figures of a rollout's motion: (name, unit, key in metrics.json)
MOTION = (
    ("jerk", "rad/s³", "jerk_rms"),
    ("jerk at borders", "rad/s³", "border_jerk_rms"),
    ("jerk within chunks", "rad/s³", "within_jerk_rms"),
    ("acceleration at borders", "rad/s²", "border_acceleration"),
    ("acceleration within chunks", "rad/s²", "within_acceleration"),
)

_STAGES = {
    "server_queue": "waiting for the model",
    "server_decode": "decoding the images",
    "server_preprocess": "preprocessing",
    "server_backbone": "backbone",
    "server_action_head": "action head",
    "server_encode": "encoding the chunk",
    "elsewhere": "network, transport, client",
    "server_total": "server total",
    "client": "total wait of the robot",
}


def score_cells(scores: Mapping[str, Any]) -> list[str]:
    """Write a group's figures in the order of COLUMN_GROUPS."""
    shares = [*scores["success_at"].values(), *scores["accuracy_at"].values()]
    return [
        f"{scores['mae']:.4f}",
        f"{scores['mse']:.5f}",
        *[f"{100 * share:.1f}" for share in shares],
        f"{scores['drift']:+.0e}",
    ]


def stage_rows(latency_ms: Mapping[str, Mapping[str, float]] | None) -> list[dict[str, Any]]:
    """List the stages in the order in which they happen, then the sums: name, share, spread.

    A stage's share is that of its mean in the mean time that the robot waits for a chunk.
    """
    if not latency_ms:
        return []
    total = latency_ms["client"]["mean"]
    return [
        {
            "name": words,
            "spread": latency_ms[stage],
            "share": min(1.0, max(0.0, latency_ms[stage]["mean"] / total)) if total else 0.0,
            "is_sum": stage in ("client", "server_total"),
        }
        for stage, words in _STAGES.items()
        if stage in latency_ms
    ]
