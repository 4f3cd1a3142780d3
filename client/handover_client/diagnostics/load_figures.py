"""Figures of a load: latency percentiles, throughput and refusals, as JSON and as a table."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from handover_client.diagnostics.load_config import BenchConfig
from handover_client.diagnostics.load_run import Load

_PERCENTILES = (50, 95, 99, 99.9)


def load_figures(config: BenchConfig, load: Load) -> dict[str, Any]:
    """Summarize answers; latencies are those of requests that succeeded, from when they were due.

    throughput_hz counts successes over the time from the end of the warm-up to the last answer.
    """
    answers, spec = load.answers, load.info.spec
    succeeded = [answer for answer in answers if answer.status == "OK"]
    latencies = [answer.latency_ms for answer in succeeded]
    ends = [answer.due_s + answer.latency_ms / 1e3 for answer in answers]
    lasted_s = max(ends) - config.warm_up if ends else 0.0
    values = np.percentile(latencies, _PERCENTILES) if latencies else [None] * len(_PERCENTILES)
    return {
        "policy": spec.policy,
        "checkpoint": spec.checkpoint_name,
        "clients": config.clients,
        "rate_hz": config.rate,
        "arrivals": None if config.rate is None else config.arrivals,
        "seconds": config.seconds,
        "interrupted": load.interrupted,
        "image": [config.image_height, config.image_width, config.codec],
        "requests": len(answers),
        "throughput_hz": round(len(succeeded) / lasted_s, 2) if lasted_s else 0.0,
        "latency_ms": {
            f"p{percentile:g}": None if value is None else round(float(value), 3)
            for percentile, value in zip(_PERCENTILES, values, strict=True)
        },
        "refused": dict(Counter(answer.status for answer in answers if answer.status != "OK")),
    }


def load_table(figures: Mapping[str, Any]) -> str:
    """Write the figures as one table."""
    rate = figures["rate_hz"]
    load = "closed loop" if rate is None else f"{rate:g}/s {figures['arrivals']}"
    height, width, codec = figures["image"]
    title = (
        f"{figures['checkpoint'] or figures['policy']}: {figures['clients']} client(s), {load}, "
        f"{height}x{width} {codec}"
    )
    columns = {
        "requests": str(figures["requests"]),
        "per second": f"{figures['throughput_hz']:.1f}",
        **{
            f"{name} ms": "–" if value is None else f"{value:.2f}"
            for name, value in figures["latency_ms"].items()
        },
        "refused": ", ".join(f"{name} {count}" for name, count in figures["refused"].items())
        or "0",
    }
    widths = [max(10, len(name), len(cell)) for name, cell in columns.items()]
    rows = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in (columns.keys(), columns.values())
    ]
    return "\n".join([title, *rows])
