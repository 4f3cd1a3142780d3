"""Comparison of two rollouts, with the episodes of the same seed as pairs."""

from collections.abc import Mapping
from typing import Any

from handover_client.comparison.comparison import (
    SHARE,
    Change,
    Comparison,
    Pairing,
    Section,
    latency_changes,
    settings_that_differ,
)
from handover_client.results.formatting import policy_and_hash
from handover_client.results.sequential import mean_sequence
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
    "frame_age_ms": "age of the frames, ms",
    "frame_times": "joints of the frames' time",
    "image_size": "image size",
    "image_codec": "image codec",
}
_BEFORE_IT_WAS = {"frame_age_ms": 0.0, "frame_times": True}  # runs of before do not say it


def compare_rollouts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two runs' metrics.json; episodes are the same if their seeds are."""
    first, second = (_BEFORE_IT_WAS | run["settings"] for run in (before, after))
    return Comparison(
        kind="rollout",
        before=policy_and_hash(before),
        after=policy_and_hash(after),
        mismatches=(
            *settings_that_differ(first, second, _MUST_AGREE),
            *_seeds_that_differ(before, after),
        ),
        notes=settings_that_differ(first, second, _WORTH_A_NOTE),
        sections=(
            Section("share of episodes", _success_changes(before, after)),
            Section("medians over successes and episodes", _motion_changes(before, after)),
            Section("latency of a chunk, ms", latency_changes(before, after)),
        ),
        pairings=(
            _pairing("success", _pairs(before, after, "success")),
            _pairing("strict success", _pairs(before, after, "strict_success")),
        ),
    )


def _pairing(outcome: str, pairs: list[tuple[bool, bool]]) -> Pairing:
    gains = (float(second) - float(first) for first, second in pairs)
    return Pairing(outcome, pair(pairs), tuple(mean_sequence(gains, -1.0, 1.0)))


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
            ("time to success, s", "time_to_success_s", ".2f"),
            ("jerk, rad/s³", "jerk_rms", ".1f"),
            ("jerk at borders, rad/s³", "border_jerk_rms", ".1f"),
            ("acceleration at borders, rad/s²", "border_acceleration", ".1f"),
        )
    )
