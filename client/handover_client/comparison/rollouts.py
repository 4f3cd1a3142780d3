"""Two rollouts side by side, and the same episodes in both as pairs."""

from collections.abc import Mapping
from typing import Any

from handover_client.comparison.comparison import (
    SHARE,
    Change,
    Comparison,
    Pairing,
    Section,
    settings_that_differ,
)
from handover_client.report.rollout_terminal import policy_name
from handover_client.results.statistics import pair

_MUST_AGREE = {"task": "task", "max_steps": "most steps"}
_WORTH_A_NOTE = {
    "horizon": "steps of a chunk",
    "execute_steps": "steps of a chunk executed",
    "chunk_rate_hz": "steps a second of a chunk",
    "interpolation": "interpolation",
    "realtime": "real time",
    "clock": "clock",
    "switching": "switching from chunk to chunk",
    "latency_ms": "added latency, ms",
    "jitter_ms": "added jitter, ms",
    "image_size": "image size",
    "image_codec": "image codec",
}


def compare_rollouts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Lay two runs' metrics.json beside each other; episodes are the same if their seeds are."""
    first, second = before["settings"], after["settings"]
    return Comparison(
        kind="rollout",
        before=_name(before),
        after=_name(after),
        mismatches=(
            *settings_that_differ(first, second, _MUST_AGREE),
            *_seeds_that_differ(before, after),
        ),
        notes=settings_that_differ(first, second, _WORTH_A_NOTE),
        sections=(
            Section("share of episodes", _success_changes(before, after)),
            Section("of the successes and motions", _motion_changes(before, after)),
            Section("latency of a chunk, ms", _latency_changes(before, after)),
        ),
        pairings=(
            Pairing("success", pair(_pairs(before, after, "success"))),
            Pairing("strict success", pair(_pairs(before, after, "strict_success"))),
        ),
    )


def _name(figures: Mapping[str, Any]) -> str:
    server = figures["provenance"]["server"]
    digest = server["checkpoint_hash"][:12] if server else ""
    return f"{policy_name(figures)} ({digest})" if digest else policy_name(figures)


def _by_seed(figures: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    return {each["seed"]: each for each in figures["per_episode"]}


def _seeds_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    first, second = _by_seed(before), _by_seed(after)
    shared = first.keys() & second.keys()
    if len(shared) == len(first) == len(second):
        return ()
    return (f"seeds: {len(shared)} are in both of {len(first)} and {len(second)}",)


def _pairs(
    before: Mapping[str, Any], after: Mapping[str, Any], outcome: str
) -> list[tuple[bool, bool]]:
    first, second = _by_seed(before), _by_seed(after)
    return [(first[seed][outcome], second[seed][outcome]) for seed in first if seed in second]


def _success_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    def change(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Change:
        return Change(name, first["success_rate"], second["success_rate"], True, SHARE)

    return (
        change("success", before, after),
        change("strict success", before["strict"], after["strict"]),
        *(
            change(f"reward {reward}", share, after["funnel"][reward])
            for reward, share in before["funnel"].items()
        ),
    )


def _motion_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    def median(figures: Mapping[str, Any], key: str) -> float | None:
        return (figures.get(key) or {}).get("p50")  # older runs lack the figures of borders

    return tuple(
        Change(name, median(before, key), median(after, key), False, style)
        for name, key, style in (
            ("time to success, median s", "time_to_success_s", ".2f"),
            ("jerk, median rad/s³", "jerk_rms", ".1f"),
            ("jerk at borders, median rad/s³", "border_jerk_rms", ".1f"),
            ("pull at borders, median rad/s²", "border_acceleration", ".1f"),
        )
    )


def _latency_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    def figure(figures: Mapping[str, Any], stage: str, name: str) -> float | None:
        return figures["latency_ms"][stage][name] if figures["latency_ms"] else None

    return tuple(
        Change(
            f"{stage} {name}".replace("_", " "),
            figure(before, stage, name),
            figure(after, stage, name),
            False,
            ".2f",
        )
        for stage in ("client", "server_total")
        for name in ("p50", "p95", "p99")
    )
