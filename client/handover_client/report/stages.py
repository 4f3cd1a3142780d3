"""Where a chunk's time goes, as the parts of a bar."""

from collections.abc import Mapping
from typing import Any


def stage_shares(latency_ms: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """List the parts of the mean waiting time with their share of it."""
    total = latency_ms["client"]["mean"]
    parts = {
        name: spread["mean"]
        for name, spread in latency_ms.items()
        if name not in ("client", "server_total")
    }
    return [
        {
            "name": name.removeprefix("server_").replace("_", " "),
            "mean_ms": mean_ms,
            "share": max(0.0, mean_ms / total) if total else 0.0,
        }
        for name, mean_ms in parts.items()
    ]
