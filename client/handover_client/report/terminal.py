"""Tables and bars in the terminal: of a replay, a rollout, and a comparison of two runs."""

from collections.abc import Mapping
from typing import Any

from handover_common import printable
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from handover_client.comparison.comparison import Comparison, Pairing, Section
from handover_client.replay.baselines import TITLES
from handover_client.replay.figures import HEADLINE_THRESHOLD
from handover_client.report.tables import COLUMN_GROUPS, MOTION, score_cells
from handover_client.results.formatting import (
    answer_to_until,
    clock_name,
    frames_name,
    incidents,
    listed,
    median,
    percent,
    percent_interval,
    points,
    policy_name,
    world_name,
)

_BAR_WIDTH = 40
_NAME_WIDTH = 32  # a comparison's tables have their columns below each other, on 80 columns
_COLORS = {"better": "green", "worse": "red", "": ""}


class PlainConsole(Console):
    """A console that shows a stranger's control sequences as text, also in a table's cells."""

    def render_str(self, text: str, **options: Any) -> Text:  # pyright: ignore
        """Make a text of a string with markup; ours has no control characters."""
        return super().render_str(printable(text), **options)


def print_replay(figures: Mapping[str, Any]) -> None:
    """Print the run's tables, bars and latency."""
    console = PlainConsole(highlight=False)
    console.print(
        f"[bold]Open loop[/]: {escape(policy_name(figures))} on "
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
    title = figures["parts"][figures["headline"]]["title"]
    console.print(f"\nsuccess @{HEADLINE_THRESHOLD} per trajectory, {title}")
    for line in success_bars(figures):
        console.print(line)
    for line in _group_lines(figures):
        console.print(line)
    console.print()
    console.print(latency_table(figures))
    console.print(f"\n{escape(figures['training'])}")


def score_table(figures: Mapping[str, Any]) -> Table:
    """Table of every group's figures, the policy's above the baselines'."""
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
        for method, scores in figures["baselines"].items():
            cells = score_cells(scores[part]) if scores else ["–"] * len(titles)
            table.add_row(f"  {TITLES[method]}", *cells, style="dim")
    return table


def success_bars(figures: Mapping[str, Any]) -> list[str]:
    """Draw a bar of success @0.10 for each trajectory."""
    lines = []
    for each in figures["per_trajectory"]:
        share = each[figures["headline"]]["success_at"][HEADLINE_THRESHOLD]
        lines.append(f"  episode {each['episode']:>4} {_bar(share)}")
    return lines


def latency_table(figures: Mapping[str, Any]) -> Table:
    """Table of the latency by stage."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("latency of a chunk, ms")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for stage, spread in figures["latency_ms"].items():
        cells = [f"{spread[name]:.2f}" for name in ("p50", "p95", "p99")]
        table.add_row(stage.replace("_", " "), *cells)
    return table


def _bar(share: float) -> str:
    full = round(share * _BAR_WIDTH)
    return f"[cyan]{'█' * full}[/][dim]{'·' * (_BAR_WIDTH - full)}[/] {percent(share):>7}"


def _definitions(definitions: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for metric in ("success_at", "accuracy_at", "drift"):
        table.add_row(metric.removesuffix("_at"), definitions[metric], style="dim")
    return table


def _group_lines(figures: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, group in figures["groups"].items():
        success = percent(group["success_at"][HEADLINE_THRESHOLD])
        lines.append(
            f"  {name:<12} MAE {group['mae']:.4f}, success {success:>7}, "
            f"episodes {listed(group['episodes'])}"
        )
    return lines


def print_rollout(figures: Mapping[str, Any]) -> None:
    """Print success, funnel, times, latency and what went wrong."""
    console = PlainConsole(highlight=False)
    settings = figures["settings"]
    console.print(
        f"[bold]Closed loop[/]: {escape(policy_name(figures))} on {settings['task']}"
        f"{escape(world_name(figures))}"
    )
    count = figures["episodes"]
    console.print(f"{count} episode{'s' * (count != 1)}, {clock_name(figures)}\n")
    if until := answer_to_until(figures):
        console.print(f"  [bold]{escape(until)}[/]")
    for name, share in (("success", figures), ("strict success", figures["strict"])):
        console.print(f"  {name:<28}{percent_interval(share)}")
    for reward, share in figures["funnel"].items():
        console.print(f"  reward {reward:<21}{_bar(share['success_rate'])}")
    for title, unit, name in (("time to success", "s", "time_to_success_s"), *MOTION):
        if figures[name]:
            values = figures[name]
            console.print(
                f"  {title:<28}median {values['p50']:.4g} {unit}, 95 % within {values['p95']:.4g}"
            )
    for line in incidents(figures):
        console.print(f"  [yellow]{escape(line)}[/]")
    if figures["latency_ms"]:
        console.print()
        console.print(latency_table(figures))


def print_drive(figures: Mapping[str, Any]) -> None:
    """Print success as the operator said, what the guard did, holds, latency and jitter."""
    console = Console(highlight=False)
    count, settings = figures["episodes"], figures["settings"]
    console.print(f"[bold]Driven[/]: {escape(policy_name(figures))} on {escape(settings['robot'])}")
    console.print(f"{count} episode{'s' * (count != 1)}, {figures['seconds']:.0f} s\n")
    if figures["judged"]:
        console.print(f"  {'success':<24}{percent_interval(figures)}")
    for title, counts in (("guard", figures["guard"]), ("holds", figures["holds"])):
        for kind, steps in counts.items():
            console.print(f"  {f'{title}: {escape(kind)}':<44}{steps} of {figures['steps']} steps")
    for title, key in (("latency of a chunk", "latency_ms"), ("control steps late", "late_ms")):
        if figures[key]:
            spread = " / ".join(f"{figures[key][name]:.1f}" for name in ("p50", "p99", "max"))
            console.print(f"  {title:<24}{spread} ms (p50 / p99 / max)")


def print_comparison(comparison: Comparison) -> None:
    """Print what is compared, what does not fit, and every section."""
    console = PlainConsole(highlight=False)
    for name, run in (("before", comparison.before), ("after", comparison.after)):
        console.print(f"[bold]{name:<8}[/]{escape(run)}")
    for mismatch in comparison.mismatches:
        console.print(f"[bold red]not comparable[/]: {escape(mismatch)}")
    for note in comparison.notes:
        console.print(f"[yellow]note[/]: {escape(note)}")
    for section in comparison.sections:
        console.print(f"\n[bold]{escape(section.title)}[/]")
        console.print(_table(section))
    for pairing in comparison.pairings:
        console.print()
        console.print(_pair_table(pairing))
        console.print(pairing.verdict())
        console.print(pairing.anytime_verdict())


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", width=_NAME_WIDTH, no_wrap=True)
    for name, width in (("before", 10), ("after", 10), ("difference", 12)):
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    table.add_column("", min_width=6)
    for change in section.changes:
        color = _COLORS[change.verdict]
        verdict = f"[{color}]{change.verdict}[/]" if color else ""
        table.add_row(change.name, *change.cells(), verdict)
    return table


def _pair_table(pairing: Pairing) -> Table:
    counts = pairing.counts
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"episodes by {pairing.outcome}", width=_NAME_WIDTH, no_wrap=True)
    for name in ("after: yes", "after: no"):
        table.add_column(name, justify="right", min_width=10)
    table.add_row("before: yes", str(counts.both), str(counts.only_a))
    table.add_row("before: no", str(counts.only_b), str(counts.neither))
    return table


def robustness_lines(figures: Mapping[str, Any]) -> list[str]:
    """Write the suite as lines of text: the control, then each axis with its strengths."""
    control = figures["control"]
    lines = [
        f"robustness: {policy_name(figures)} on {figures['settings']['task']}, "
        f"{control['episodes']} seeds a cell, {clock_name(figures)}",
        f"{'control':<14}{percent(control['success_rate']):>7}",
    ]
    for axis in figures["axes"]:
        silent = axis.get("not_played", ())  # suites of before have none
        written = {
            cell["strength"]: f"{percent(cell['success_rate']):>7} ({points(cell['difference'])})"
            for cell in axis["cells"]
        } | {each["strength"]: "not played" for each in silent}
        too_much = axis["falls_below_80_at"]
        end = f"below 80 % at {too_much}" if too_much else "80 % at every strength"
        if silent and not too_much:
            end = "80 % at every strength played" if axis["cells"] else "not played"
        cells = "   ".join(written[strength] for strength in sorted(written))
        lines.append(f"{axis['axis']:<14}{cells}   {end}")
        lines += [f"{'':<14}{each['strength']} not played: {each['reason']}" for each in silent]
    return lines


def latency_lines(figures: Mapping[str, Any]) -> list[str]:
    """Write the suite as lines of text: a row for each latency and way of switching."""
    episodes = figures["control"]["episodes"]
    lines = [
        f"latency: {policy_name(figures)} on {figures['settings']['task']}, "
        f"{episodes} seeds a cell{frames_name(figures)}",
        f"{'switching':<18}{'latency, ms':>12}{'success':>9}{'strict':>9}"
        f"{'acceleration':>14}{'jerk':>12}   (at borders / within chunks, rad/s² and rad/s³)",
    ]
    for row in figures["rows"]:
        error = row["delay_error_steps"]
        pairs = (
            "/".join(median(row[f"{where}_{what}"]) for where in ("border", "within"))
            for what in ("acceleration", "jerk_rms")
        )
        acceleration, jerk = pairs
        lines.append(
            f"{row['switching'] + (f' {error:+d} steps' if error else ''):<18}"
            f"{row['latency_ms']:>6g} ± {row['jitter_ms']:<3g}"
            f"{percent(row['success_rate']):>9}{percent(row['strict']['success_rate']):>9}"
            f"{acceleration:>14}{jerk:>12}"
        )
    lines += [
        f"{each['switching']}: as without latency up to {each['latency_ms']:g} ms"
        for each in figures["envelopes"]
    ]
    return lines
