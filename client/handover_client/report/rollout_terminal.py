"""A rollout's figures in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from handover_client.replay.score_table import percent
from handover_client.report.terminal import latency_table

_BAR_WIDTH = 40


def print_rollout(figures: Mapping[str, Any]) -> None:
    """Print success, funnel, times, latency and what went wrong on the way."""
    console = Console(highlight=False)
    settings = figures["settings"]
    console.print(f"[bold]Closed loop[/]: {escape(policy_name(figures))} on {settings['task']}")
    count = figures["episodes"]
    console.print(f"{count} episode{'s' * (count != 1)}, {clock_name(figures)}\n")
    for name, share in (("success", figures), ("strict success", figures["strict"])):
        console.print(f"  {name:<17}{share_text(share)}")
    for reward, share in figures["funnel"].items():
        full = round(share["success_rate"] * _BAR_WIDTH)
        bar = f"[cyan]{'█' * full}[/][dim]{'·' * (_BAR_WIDTH - full)}[/]"
        console.print(f"  reward {reward}         {bar} {percent(share['success_rate']):>7}")
    for title, name, unit in (
        ("time to success", "time_to_success_s", "s"),
        ("jerk", "jerk_rms", "rad/s³"),
        ("jerk at borders", "border_jerk_rms", "rad/s³"),
        ("pull at borders", "border_acceleration", "rad/s²"),
    ):
        if figures[name]:
            values = figures[name]
            console.print(
                f"  {title:<17}median {values['p50']:.4g} {unit}, 95 % within {values['p95']:.4g}"
            )
    for line in incidents(figures):
        console.print(f"  [yellow]{escape(line)}[/]")
    if figures["latency_ms"]:
        console.print()
        console.print(latency_table(figures))


def share_text(share: Mapping[str, Any]) -> str:
    """Write a share of episodes with its interval: "92.0 % (95 % interval 81.2 % … 96.8 %)"."""
    low, high = share["wilson_95"]
    return f"{percent(share['success_rate'])} (95 % interval {percent(low)} … {percent(high)})"


def policy_name(figures: Mapping[str, Any]) -> str:
    """Name what decided the actions."""
    server = figures["provenance"]["server"]
    return (server["checkpoint"] or server["policy"]) if server else "the scripted expert"


def clock_name(figures: Mapping[str, Any]) -> str:
    """Say which clock the episodes ran by."""
    settings = figures["settings"]
    if not settings["realtime"]:
        return "in lockstep"
    latency = f"{settings['latency_ms']:g} ± {settings['jitter_ms']:g} ms"
    chunks = f"chunks switched by {settings['switching']}"
    if settings["clock"] == "simulated":
        return f"in simulated real time, {latency} latency, {chunks}"
    return f"in real time, {latency} latency added, {chunks}"


def incidents(figures: Mapping[str, Any]) -> list[str]:
    """Say what went wrong between robot and policy, a line each; nothing where all went well."""
    lines = []
    outages, endings = figures["outages"], figures["endings"]
    if outages["count"]:
        lines.append(
            f"server outages: {outages['count']} ({outages['recovered']} recovered, the longest "
            f"{outages['longest_s']:.1f} s) in episodes {_listed(outages['episodes'])}"
        )
    for ending, words in (
        ("server_lost", "ended without a server"),
        ("simulation_failed", "ended because the physics diverged"),
        ("no_plan", "could not be planned"),
    ):
        if endings.get(ending):
            lines.append(f"{endings[ending]} episode(s) {words}; they count as failures")
    if figures["dry_steps"]:
        lines.append(f"the robot held its last target for {figures['dry_steps']} control steps")
    if figures["late_steps"]:
        lines.append(f"{figures['late_steps']} control steps began late: this machine is too slow")
    return lines


def _listed(episodes: list[int]) -> str:
    more = " …" if len(episodes) > 12 else ""
    return ", ".join(str(episode) for episode in episodes[:12]) + more
