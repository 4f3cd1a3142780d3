"""What a soak's samples say: memory before and after, and what became of every request."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from handover_proto.request_log import Damage, read_recording

WINDOW_S = 180.0  # memory is averaged over this long at either end


def summary(taken: list[dict[str, Any]], warm_s: float) -> dict[str, Any]:
    """Memory before and after, by the minute, and what became of every request."""
    kept = [sample for sample in taken if sample["at_s"] >= warm_s]
    window_s = min(WINDOW_S, (kept[-1]["at_s"] - warm_s) / 3)
    first = [each for each in kept if each["at_s"] < warm_s + window_s]
    last = [each for each in kept if each["at_s"] > kept[-1]["at_s"] - window_s]
    outcomes = sum((Counter(sample["counts"]) for sample in taken), Counter())
    faults = [fault for sample in taken for fault in sample["faults"]]
    per_minute = {int(each["at_s"] // 60): each for each in taken}
    return {
        "what": "the server's resident memory under mixed traffic, warm-up left out; before and "
        f"after are means over {window_s:.0f} s. The client's memory is what is left after "
        "malloc_trim: objects, not what the C library keeps for later",
        "rss_before_mib": mean(first, "rss_mib"),
        "rss_after_mib": mean(last, "rss_mib"),
        "rss_growth_percent": growth(first, last, "rss_mib"),
        "client_rss_growth_percent": growth(first, last, "client_rss_mib"),
        "client_objects_growth_percent": growth(first, last, "client_objects"),
        "files_before_after": [first[0]["files"], last[-1]["files"]],
        "threads_before_after": [first[0]["threads"], last[-1]["threads"]],
        "server_cpu_share": round(last[-1]["cpu_s"] / taken[-1]["at_s"], 4),
        "requests": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "faults": faults,
        "generator_stopped_s": round(sum(sample["stopped_s"] for sample in taken)),
        "rss_mib_by_minute": {minute: each["rss_mib"] for minute, each in per_minute.items()},
        "client_rss_mib_by_minute": {m: each["client_rss_mib"] for m, each in per_minute.items()},
    }


def recording(folder: Path, taken: list[dict[str, Any]], bound_gb: float) -> dict[str, Any]:
    """What the request recording holds at the end, read as `handover replay-requests` reads it."""
    kinds = Counter(type(record).__name__ for record in read_recording(folder))
    return {
        "most_mib": max(sample["record_mib"] for sample in taken),
        "bound_mib": round(bound_gb * 1e9 / 2**20, 2),
        "damaged_places": kinds[Damage.__name__],
        "records": dict(kinds),
    }


def mean(part: list[dict], key: str) -> float:
    """Of a sample's number, over some samples."""
    return round(float(np.mean([each[key] for each in part])), 2)


def growth(first: list[dict], last: list[dict], key: str) -> float:
    """In percent of the first."""
    return round(100 * (mean(last, key) / mean(first, key) - 1), 2)


def table(figures: dict[str, Any]) -> str:
    """Memory every few minutes, and every outcome."""
    by_minute = figures["rss_mib_by_minute"]
    step = max(1, len(by_minute) // 10)
    lines = [f"{minute:>4} min {by_minute[minute]:8.1f} MiB" for minute in list(by_minute)[::step]]
    lines += [f"{count:>8}  {outcome}" for outcome, count in figures["outcomes"].items()]
    lines += [
        f"growth {figures['rss_growth_percent']:+.2f} %, faults {len(figures['faults'])}, "
        f"{figures['requests']} requests"
    ]
    return "\n".join(lines)
