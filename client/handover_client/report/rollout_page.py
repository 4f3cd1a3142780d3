"""The folder of a rollout: figures, plots and report.html with its videos inside."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handover_client.episode_record import EpisodeRecord
from handover_client.report.drawing import look, save_png, themed_svg
from handover_client.report.page import render
from handover_client.report.rollout_plots import plot_rewards_over_time, plot_start_poses
from handover_client.report.stages import stage_shares
from handover_client.rollout_terminal import clock_name, incidents, policy_name
from handover_client.run_folder import write_file, write_json
from handover_client.score_table import percent

_MOST_FAILURES_IN_PAGE = 6  # each video adds some 200 kB; videos/ has them all
_MOST_SUCCESSES_IN_PAGE = 1


def write_rollout(
    folder: Path, figures: Mapping[str, Any], records: Sequence[EpisodeRecord]
) -> None:
    """Write metrics.json, the plots and report.html into `folder`, beside videos/."""
    write_json(folder / "metrics.json", figures)
    with look():
        page = _page(folder, figures, records)
    write_file(folder / "report.html", page)


def _page(folder: Path, figures: Mapping[str, Any], records: Sequence[EpisodeRecord]) -> str:
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)  # an interrupted run may have made it
    start_poses = plot_start_poses(figures["per_episode"], figures["objects"])
    save_png(start_poses, plots / "start_poses.png")
    rewards = plot_rewards_over_time(
        [record.first_steps for record in records],
        figures["settings"]["max_steps"],
        figures["control_rate_hz"],
    )
    save_png(rewards, plots / "rewards_over_time.png")
    shown = _episodes_to_show(figures["per_episode"])
    return render(
        "rollout.html.j2",
        {
            "figures": figures,
            "policy": policy_name(figures),
            "clock": clock_name(figures),
            "incidents": incidents(figures),
            "outages": [(each.episode, outage) for each in records for outage in each.outages],
            "percent": percent,
            "start_poses": Markup(themed_svg(start_poses)),
            "rewards": Markup(themed_svg(rewards)),
            "videos": [(each, _inline(folder / each["video"])) for each in shown],
            "video_count": sum(bool(each["video"]) for each in figures["per_episode"]),
            "stages": stage_shares(figures["latency_ms"]) if figures["latency_ms"] else [],
        },
    )


def _episodes_to_show(episodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose the episodes whose videos go into the page: a success, then the first failures."""
    filmed = [each for each in episodes if each["video"]]
    successes = [each for each in filmed if each["success"]]
    failures = [each for each in filmed if not each["success"]]
    return [*successes[:_MOST_SUCCESSES_IN_PAGE], *failures[:_MOST_FAILURES_IN_PAGE]]


def _inline(video: Path) -> str:
    return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode("ascii")
