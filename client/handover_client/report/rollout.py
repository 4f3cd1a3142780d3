"""What the report shows of a rollout, read from its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handover_client.replay.score_table import percent
from handover_client.report.charts.rollout import rewards_chart, start_pose_charts
from handover_client.report.charts.svg import Chart, inline_svg
from handover_client.report.rollout_terminal import clock_name, incidents, policy_name
from handover_client.report.tables import stage_rows
from handover_client.report.videos import embed_videos
from handover_client.rollout.record import EpisodeRecord

# what each reward of gym-aloha stands for (gym_aloha/tasks/sim.py, get_reward)
_REWARDS = {
    "transfer_cube": (
        "the right hand touches the cube",
        "the right hand lifts it off the table",
        "the left hand touches it",
        "the left hand holds it off the table",
    ),
    "insertion": (
        "each hand touches its part",
        "both parts are off the table",
        "the peg touches the socket",
        "the peg is in the socket",
    ),
}


def rollout_section(
    folder: Path, figures: Mapping[str, Any], records: Sequence[EpisodeRecord]
) -> dict[str, Any]:
    """Gather what _rollout.html.j2 shows of the run in `folder`."""
    rewards = _rewards(figures, records)
    return {
        "template": "_rollout.html.j2",
        "figures": figures,
        "name": policy_name(figures),
        "clock": clock_name(figures),
        "incidents": incidents(figures),
        "outages": [(each.episode, outage) for each in records for outage in each.outages],
        "percent": percent,
        "reward_words": _REWARDS.get(figures["settings"]["task"], ("",) * 4),
        "rewards": Markup(inline_svg(rewards)),
        "reward_keys": rewards.line_labels,
        "start_poses": [
            (chart.title, Markup(inline_svg(chart)))
            for chart in start_pose_charts(figures["per_episode"], figures["objects"])
        ],
        "motion": _motion(figures),
        "videos": embed_videos(folder, figures["per_episode"]),
        "stages": stage_rows(figures["latency_ms"]),
    }


def rollout_charts(
    figures: Mapping[str, Any], records: Sequence[EpisodeRecord]
) -> dict[str, list[Chart]]:
    """Draw a rollout's charts: {name of its file: charts}."""
    return {
        "rewards_over_time": [_rewards(figures, records)],
        "start_poses": start_pose_charts(figures["per_episode"], figures["objects"]),
    }


def _motion(figures: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, float]]]:
    """List how smoothly the arms were driven, where the run has it: (name, unit, spread)."""
    rows = (
        ("jerk", "rad/s³", "jerk_rms"),
        ("jerk at borders", "rad/s³", "border_jerk_rms"),
        ("pull at borders", "rad/s²", "border_acceleration"),
    )
    return [(name, unit, figures[key]) for name, unit, key in rows if figures.get(key)]


def _rewards(figures: Mapping[str, Any], records: Sequence[EpisodeRecord]) -> Chart:
    return rewards_chart(
        [record.first_steps for record in records],
        figures["settings"]["max_steps"],
        figures["control_rate_hz"],
    )
