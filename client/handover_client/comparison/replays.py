"""Comparison of two open-loop runs."""

from collections.abc import Mapping
from typing import Any

from handover_client.comparison.comparison import (
    SHARE,
    Change,
    Comparison,
    Section,
    latency_changes,
    settings_that_differ,
)
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.results.formatting import policy_and_hash, policy_name

_MUST_AGREE = {"episodes": "episodes", "steps": "steps"}
_WORTH_A_NOTE = {
    "action_horizon": "action horizon",
    "seed": "seed",
    "image_codec": "image codec",
}


def compare_replays(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compare two runs' metrics.json.

    Figures whose dataset has no hash are from elsewhere, for example the original experiment's:
    that they are over other recordings is known, so it is a note and no mismatch.
    """
    mismatches = (
        *_datasets_that_differ(before, after),
        *settings_that_differ(before, after, _MUST_AGREE),
        *_parts_that_differ(before, after),
    )
    notes = settings_that_differ(before, after, _WORTH_A_NOTE)
    if not all(run["provenance"]["dataset"]["hash"] for run in (before, after)):
        trained = (f"{policy_name(run)}: {run['training']}" for run in (before, after))
        mismatches, notes = (), (*trained, *mismatches, *notes)
    sections = [
        Section(before["parts"][key]["title"], _score_changes(before[key], after[key]))
        for key in before["parts"]
        if key in after["parts"]
    ]
    if before["latency_ms"] or after["latency_ms"]:
        sections.append(Section("latency of a chunk, ms", latency_changes(before, after)))
    return Comparison(
        kind="replay",
        before=policy_and_hash(before),
        after=policy_and_hash(after),
        mismatches=mismatches,
        notes=notes,
        sections=(*sections, *_trajectory_sections(before, after)),
    )


def _datasets_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    first, second = before["provenance"]["dataset"], after["provenance"]["dataset"]
    if first["hash"] == second["hash"]:
        return ()
    written = [
        f"{each['name']} ({each['hash'][:12]})" if each["hash"] else each["name"]
        for each in (first, second)
    ]
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
        Change("MAE", before["mae"], after["mae"], False),
        Change("MSE", before["mse"], after["mse"], False),
        *shares("success_at", "success"),
        *shares("accuracy_at", "accuracy"),
        Change("drift per step", before["drift"], after["drift"], None, ".1e"),
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
