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
from handover_client.results.formatting import listed, played_again, policy_and_hash, world_name
from handover_client.results.run_folder import outcomes_by_seed
from handover_client.results.sequential import mean_sequence
from handover_client.results.statistics import pair

_MUST_AGREE = {"task": "task", "max_steps": "most steps"}
_WORTH_A_NOTE = {
    "change": "changed world",
    "camera": "cameras told",
    "group": "groups told",
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
    "delay_error_steps": "expected delay wrong by, steps",
    "image_size": "image size",
    "image_codec": "image codec",
}
# runs of before do not say it
_BEFORE_IT_WAS = {
    "frame_age_ms": 0.0,
    "frame_times": True,
    "delay_error_steps": 0,
    "change": "",
    "camera": (),
    "group": (),
}


def compare_rollouts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two runs' metrics.json; episodes are the same if their seeds are."""
    first, second = (_settings(run) for run in (before, after))
    return Comparison(
        kind="rollout",
        before=policy_and_hash(before) + world_name(before),
        after=policy_and_hash(after) + world_name(after),
        mismatches=(
            *settings_that_differ(first, second, _MUST_AGREE),
            *_seeds_that_differ(before, after),
        ),
        notes=(
            *settings_that_differ(first, second, _WORTH_A_NOTE),
            *_instructions_that_differ(before, after),
            *_lost_servers("before", before),
            *_lost_servers("after", after),
        ),
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


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    settings = _BEFORE_IT_WAS | run["settings"]
    return settings | {name: " ".join(settings[name]) for name in ("camera", "group")}


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


def _instructions_that_differ(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[str, ...]:
    said = [run.get("instruction") for run in (before, after)]
    if None in said or said[0] == said[1]:
        return ()
    return (f"instruction: “{said[0]}” and “{said[1]}”",)


def _lost_servers(name: str, run: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [f"{name}: {again}"] if (again := played_again(run)) else []
    counted = outcomes_by_seed(run)  # of now's runs, all
    lost = [each["episode"] for each in run["per_episode"] if each["seed"] not in counted]
    if lost:
        notes.append(
            f"{name}: episodes {listed(lost)} lost their server: they are in no pair, and count as "
            "failures in the shares"
        )
    return tuple(notes)


def _pairs(
    before: Mapping[str, Any], after: Mapping[str, Any], outcome: str
) -> list[tuple[bool, bool]]:
    first, second = (outcomes_by_seed(run, outcome) for run in (before, after))
    return [(first[seed], second[seed]) for seed in first if seed in second]


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
