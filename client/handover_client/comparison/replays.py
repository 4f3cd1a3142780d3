"""Two open-loop runs side by side."""

from collections.abc import Mapping
from typing import Any

from handover_client.comparison.comparison import (
    SHARE,
    Change,
    Comparison,
    Section,
    settings_that_differ,
)
from handover_client.replay.figures import HEADLINE_THRESHOLD

_MUST_AGREE = {"episodes": "episodes", "steps": "steps"}
_WORTH_A_NOTE = {
    "action_horizon": "action horizon",
    "seed": "seed",
    "image_codec": "image codec",
}


def compare_replays(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Lay two runs' metrics.json beside each other."""
    parts = [key for key in before["parts"] if key in after["parts"]]
    return Comparison(
        kind="replay",
        before=_name(before),
        after=_name(after),
        mismatches=(
            *_datasets_that_differ(before, after),
            *settings_that_differ(before, after, _MUST_AGREE),
            *_parts_that_differ(before, after),
        ),
        notes=settings_that_differ(before, after, _WORTH_A_NOTE),
        sections=(
            *(
                Section(before["parts"][key]["title"], _score_changes(before[key], after[key]))
                for key in parts
            ),
            Section("latency of a chunk, ms", _latency_changes(before, after)),
            *_trajectory_sections(before, after),
        ),
    )


def _name(figures: Mapping[str, Any]) -> str:
    server = figures["provenance"]["server"]
    name = server["checkpoint"] or server["policy"]
    return f"{name} ({server['checkpoint_hash'][:12]})" if server["checkpoint_hash"] else name


def _datasets_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    first, second = before["provenance"]["dataset"], after["provenance"]["dataset"]
    if first["hash"] == second["hash"]:
        return ()
    written = [f"{each['name']} ({each['hash'][:12]})" for each in (first, second)]
    return (f"dataset: {written[0]} and {written[1]}",)


def _parts_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    if list(before["parts"]) == list(after["parts"]):
        return ()
    return (f"values judged: {', '.join(before['parts'])} and {', '.join(after['parts'])}",)


def _score_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    def shares(kind: str, words: str) -> list[Change]:
        return [
            Change(f"{words} @{limit}", share, after[kind].get(limit), True, SHARE)
            for limit, share in before[kind].items()
        ]

    return (
        Change("MSE", before["mse"], after["mse"], False),
        Change("MAE", before["mae"], after["mae"], False),
        *shares("success_at", "success"),
        *shares("accuracy_at", "accuracy"),
        Change("drift per step", before["drift"], after["drift"], None, ".1e"),
    )


def _latency_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    return tuple(
        Change(
            f"{stage} {name}".replace("_", " "),
            before["latency_ms"][stage][name],
            after["latency_ms"][stage][name],
            False,
            ".2f",
        )
        for stage in ("client", "server_total")
        for name in ("p50", "p95", "p99")
    )


def _trajectory_sections(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Section, ...]:
    if before["headline"] != after["headline"]:
        return ()
    key = before["headline"]
    later = {each["episode"]: each[key] for each in after["per_trajectory"]}
    both = [
        (each["episode"], each[key], later[each["episode"]])
        for each in before["per_trajectory"]
        if each["episode"] in later
    ]
    success = tuple(
        Change(
            f"episode {episode}",
            first["success_at"][HEADLINE_THRESHOLD],
            second["success_at"][HEADLINE_THRESHOLD],
            True,
            SHARE,
        )
        for episode, first, second in both
    )
    mse = tuple(
        Change(f"episode {episode}", first["mse"], second["mse"], False)
        for episode, first, second in both
    )
    title = before["parts"][key]["title"]
    return (
        Section(f"success @{HEADLINE_THRESHOLD} by trajectory, {title}", success),
        Section(f"MSE by trajectory, {title}", mse),
    )
