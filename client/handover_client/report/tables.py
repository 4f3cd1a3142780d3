"""Where a chunk's time goes: one row for each stage, with its share of the waiting time."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "server_queue": "waiting for the model",
    "server_decode": "decoding the images",
    "server_preprocess": "preprocessing",
    "server_backbone": "backbone",
    "server_action_head": "action head",
    "server_encode": "encoding the chunk",
    "elsewhere": "network, transport, client",
    "server_total": "the server in all",
    "client": "what the robot waits",
}


def stage_rows(latency_ms: Mapping[str, Mapping[str, float]] | None) -> list[dict[str, Any]]:
    """List the stages in the order in which they happen, then the sums: name, share, spread."""
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
        for stage, words in _WORDS.items()
        if stage in latency_ms
    ]
