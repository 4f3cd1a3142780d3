"""How long chunks took: as the client saw it, and as the server accounts for it by stage."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from handover_proto import StageDurations


@dataclass(frozen=True)
class Call:
    """One request's time: from the observation at hand to the chunk at hand, in milliseconds."""

    client_ms: float
    server: StageDurations


def latency_figures(calls: Sequence[Call]) -> dict[str, dict[str, float]]:
    """Summarise calls by stage: {stage: p50, p95, p99, mean, max}, in milliseconds.

    `client` is what a robot waits; `server_total` is what the server accounts for; `elsewhere` is
    the difference: encoding, the network, the server's transport.
    """
    stages = {
        "client": [call.client_ms for call in calls],
        "server_total": [call.server.total_ms for call in calls],
        "elsewhere": [call.client_ms - call.server.total_ms for call in calls],
    }
    for stage in dataclasses.fields(StageDurations):
        name = f"server_{stage.name.removesuffix('_ms')}"
        stages[name] = [getattr(call.server, stage.name) for call in calls]
    return {name: percentiles(values) for name, values in stages.items()}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Give the median, the 95th and 99th percentile (linear between values), mean and maximum."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "mean": float(np.mean(values)),
        "max": float(np.max(values)),
    }
