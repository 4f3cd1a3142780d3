"""Report sections of a rollout, and of a suite of them, read from their folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_common import file_within
from markupsafe import Markup

from handover_client.report.charts.rollout import (
    rewards_chart,
    sequence_chart,
    start_pose_charts,
)
from handover_client.report.charts.svg import inline_svg
from handover_client.report.tables import MOTION, stage_rows
from handover_client.report.videos import data_uri, embed_videos
from handover_client.results.formatting import (
    answer_to_until,
    clock_name,
    frames_name,
    incidents,
    median,
    percent,
    points,
    policy_name,
    world_name,
)
from handover_client.rollout.figures import reward_meanings
from handover_client.rollout.record import EpisodeRecord


def rollout_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _rollout.html.j2 for the run in `folder`, with these figures."""
    records = _records(folder)
    settings = figures["settings"]
    rewards = rewards_chart(
        [record.first_steps for record in records],
        settings["max_steps"],
        figures["control_rate_hz"],
    )
    return {
        "template": "_rollout.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "world": world_name(figures),
        "clock": clock_name(figures),
        "incidents": incidents(figures),
        "outages": [(each.episode, outage) for each in records for outage in each.outages],
        "percent": percent,
        "reward_words": reward_meanings(settings["task"]),
        "rewards": Markup(inline_svg(rewards)),
        "reward_keys": rewards.line_labels,
        "until": answer_to_until(figures),
        "sequence": _sequence(figures),
        "start_poses": [
            (chart.title, Markup(inline_svg(chart)))
            for chart in start_pose_charts(figures["per_episode"], figures["objects"])
        ],
        # older runs lack the figures of borders
        "motion": [(name, unit, figures[key]) for name, unit, key in MOTION if figures.get(key)],
        "videos": embed_videos(folder, figures["per_episode"]),
        "stages": stage_rows(figures["latency_ms"]),
    }


_PAIR = ("control", "changed")


def robustness_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _robustness.html.j2 for the suite in `folder`."""
    videos = [
        (axis, [(kind, data_uri(path)) for kind, path in pair.items() if path])
        for axis in figures["axes"]
        if axis["videos"]
        for pair in ({kind: file_within(folder, axis["videos"][kind]) for kind in _PAIR},)
    ]
    return {
        "template": "_robustness.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "clock": clock_name(figures),
        "percent": percent,
        "points": points,
        "videos": videos,
    }


def latency_section(folder: Path, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the content of _latency.html.j2 for the suite in `folder`."""
    return {
        "template": "_latency.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "frames": frames_name(figures),
        "percent": percent,
        "points": points,
        "median": median,
    }


def _sequence(figures: Mapping[str, Any]) -> Markup | None:
    """Draw the interval as it narrowed; older runs lack it."""
    if not figures.get("anytime_95"):
        return None
    successes = [each["success"] for each in figures["per_episode"]]
    return Markup(inline_svg(sequence_chart(figures["anytime_95"], successes)))


def _records(folder: Path) -> list[EpisodeRecord]:
    """Read the episodes by number; one that was filmed later has two lines, the last counts."""
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    records = {record.episode: record for record in map(EpisodeRecord.from_line, lines)}
    return [records[episode] for episode in sorted(records)]
