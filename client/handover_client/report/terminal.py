"""An open-loop evaluation as tables and bars in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handover_client.replay.baselines import TITLES
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.replay.score_table import COLUMN_GROUPS, percent, score_cells

_BAR_WIDTH = 40


def print_replay(figures: Mapping[str, Any]) -> None:
    """Print the run's tables, bars and latency."""
    console = Console(highlight=False)
    server = figures["provenance"]["server"]
    console.print(
        f"[bold]Open loop[/]: {escape(server['checkpoint'] or server['policy'])} on "
        f"{escape(figures['provenance']['dataset']['name'])}"
    )
    count = len(figures["episodes"])
    console.print(
        f"{count} episode{'s' * (count != 1)} of up to {figures['steps']} steps, "
        f"a new chunk every {figures['action_horizon']} steps\n"
    )
    console.print(score_table(figures))
    console.print()
    console.print(_definitions(figures["definitions"]))
    console.print(f"\nsuccess @{HEADLINE_THRESHOLD} per trajectory, {_headline_title(figures)}")
    for line in success_bars(figures):
        console.print(line)
    for line in _group_lines(figures):
        console.print(line)
    console.print()
    console.print(latency_table(figures))
    console.print(f"\n{escape(figures['training'])}")


def score_table(figures: Mapping[str, Any]) -> Table:
    """Lay out every part's figures, the policy's above the baselines'."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    titles = [
        f"{group.removesuffix(', %') if place == 0 else ''}\n{column}"
        for group, columns in COLUMN_GROUPS
        for place, column in enumerate(columns)
    ]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for part, described in figures["parts"].items():
        table.add_row(f"[bold]{described['title']}[/]", *score_cells(figures[part]))
        for way, scores in figures["baselines"].items():
            cells = score_cells(scores[part]) if scores else ["–"] * len(titles)
            table.add_row(f"  {TITLES[way]}", *cells, style="dim")
    return table


def success_bars(figures: Mapping[str, Any]) -> list[str]:
    """Draw a bar of success @0.10 for each trajectory."""
    lines = []
    for each in figures["per_trajectory"]:
        share = each[figures["headline"]]["success_at"][HEADLINE_THRESHOLD]
        full = round(share * _BAR_WIDTH)
        bar = f"[cyan]{'█' * full}[/][dim]{'·' * (_BAR_WIDTH - full)}[/]"
        lines.append(f"  episode {each['episode']:>4} {bar} {percent(share):>7}")
    return lines


def latency_table(figures: Mapping[str, Any]) -> Table:
    """Lay out the latency by stage."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("latency of a chunk, ms")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for stage, spread in figures["latency_ms"].items():
        cells = [f"{spread[name]:.2f}" for name in ("p50", "p95", "p99")]
        table.add_row(stage.replace("_", " "), *cells)
    return table


def _definitions(definitions: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for metric in ("success_at", "accuracy_at", "drift"):
        table.add_row(metric.removesuffix("_at"), definitions[metric], style="dim")
    return table


def _headline_title(figures: Mapping[str, Any]) -> str:
    return figures["parts"][figures["headline"]]["title"]


def _group_lines(figures: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, group in figures["groups"].items():
        episodes = ", ".join(str(episode) for episode in group["episodes"][:12])
        more = " …" if len(group["episodes"]) > 12 else ""
        success = percent(group["success_at"][HEADLINE_THRESHOLD])
        lines.append(
            f"  {name:<12} MSE {group['mse']:.5f}, success {success:>7}, episodes {episodes}{more}"
        )
    return lines
