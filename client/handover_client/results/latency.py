"""Latency of chunks: as the client measured it, and by stage as the server reports it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from handover_proto import StageDurations

# of a chunk, as the server reports them, in the order in which they happen: queue, decode …
STAGES = tuple(field.name.removesuffix("_ms") for field in dataclasses.fields(StageDurations))


@dataclass(frozen=True)
class Call:
    """One request's time: from the observation at hand to the chunk at hand, in milliseconds."""

    client_ms: float
    server: StageDurations


def latency_figures(calls: Sequence[Call]) -> dict[str, dict[str, float]]:
    """Summarize calls by stage: {stage: p50, p95, p99, mean, max}, in milliseconds.

    `client` is how long the robot waits; `server_total` is the sum of the server's stages;
    `elsewhere` is the difference: encoding, the network, the server's transport. Of a server that
    reports no stages there is `client` alone.
    """
    stages = {"client": [call.client_ms for call in calls]}
    if not any(call.server.total_ms for call in calls):
        return {name: percentiles(values) for name, values in stages.items()}
    stages |= {
        "server_total": [call.server.total_ms for call in calls],
        "elsewhere": [call.client_ms - call.server.total_ms for call in calls],
    }
    for stage in STAGES:
        stages[f"server_{stage}"] = [getattr(call.server, f"{stage}_ms") for call in calls]
    return {name: percentiles(values) for name, values in stages.items()}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile (linear between values), mean and maximum."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "mean": float(np.mean(values)),
        "max": float(np.max(values)),
    }
