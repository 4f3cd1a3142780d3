"""How long a policy takes: wall clock, and on a GPU the device's own clock."""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from handover_model.policy import GrootPolicy
from handover_proto.types import PolicyRequest

NVIDIA_WARM_UP, NVIDIA_ITERATIONS = 5, 20  # as Isaac-GR00T's benchmark takes its table


def time_chunks(
    policy: GrootPolicy, request: PolicyRequest, warm_up: int, iterations: int
) -> dict[str, object]:
    """Time one request again and again, from arrays to actions: percentiles in ms."""
    for _ in range(warm_up):
        policy.infer([request])
    wall: list[float] = []
    device: list[float] = []
    for _ in range(iterations):
        wall_ms, device_ms = _time_once(policy, [request])
        wall.append(wall_ms)
        device += [] if device_ms is None else [device_ms]
    found: dict[str, object] = {"wall_ms": percentiles(wall)}
    if device:
        found["cuda_events_ms"] = percentiles(device)
    return found


def time_stages(
    policy: GrootPolicy, request: PolicyRequest, warm_up: int, iterations: int
) -> dict[str, float]:
    """Take NVIDIA's table: medians of the stages, and their sum, in ms.

    An engine that computes the chunk in one piece has all of it under action_head.
    """
    warm_up, iterations = min(warm_up, NVIDIA_WARM_UP), min(iterations, NVIDIA_ITERATIONS)
    rows: list[tuple[float, float, float]] = []
    for iteration in range(warm_up + iterations):
        (output,) = policy.infer([request])
        took = output.durations
        if iteration >= warm_up:
            rows.append((took.preprocess_ms, took.backbone_ms, took.action_head_ms))
    medians = [round(statistics.median(values), 3) for values in zip(*rows, strict=True)]
    names = ("data_processing", "backbone", "action_head")
    table = dict(zip(names, medians, strict=True))
    return {**table, "sum": round(sum(medians), 3), "iterations": iterations}


def time_batches(
    policy: GrootPolicy,
    requests: Sequence[PolicyRequest],
    batches: Sequence[int],
    iterations: int,
    ceiling: float,
) -> list[dict[str, object]]:
    """Time batches of several sizes; ceiling: chunks/s that the device's products allow."""
    rows: list[dict[str, object]] = []
    for size in batches:
        batch = list(requests[:size])
        policy.infer(batch)
        wall_ms = statistics.median(_time_once(policy, batch)[0] for _ in range(iterations))
        rate = 1e3 * size / wall_ms
        rows.append(
            {
                "batch": size,
                "computed_together": min(size, max(1, policy.spec.max_batch)),
                "p50_ms": round(wall_ms, 3),
                "chunks_per_s": round(rate, 2),
                "share_of_ceiling": round(rate / ceiling, 4),
            }
        )
    return rows


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Condense times: the fastest, and the percentiles that are asked for."""
    asked = {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}
    return {"min": round(min(values), 3), **asked}


def _time_once(policy: GrootPolicy, batch: Sequence[PolicyRequest]) -> tuple[float, float | None]:
    """Give wall ms, and on a GPU the ms between two events of its stream."""
    events = None
    if policy.spec.device.startswith("cuda"):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        torch.cuda.synchronize()
        events[0].record()
    began = time.perf_counter()
    policy.infer(batch)  # its chunks are arrays of the host: it has waited for the device
    wall_ms = 1e3 * (time.perf_counter() - began)
    if events is None:
        return wall_ms, None
    events[1].record()
    events[1].synchronize()
    return wall_ms, events[0].elapsed_time(events[1])
