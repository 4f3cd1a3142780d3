"""A comparison of two runs as tables in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handover_client.comparison.comparison import Comparison, Pairing, Section

_NAME_WIDTH = 30  # every table's columns stand below each other, on 80 columns
_COLOURS = {"better": "green", "worse": "red", "": ""}


def print_comparison(comparison: Comparison) -> None:
    """Print what is compared, what does not fit, and every section."""
    console = Console(highlight=False)
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


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", width=_NAME_WIDTH, no_wrap=True)
    for name, width in (("before", 10), ("after", 10), ("difference", 12)):
        table.add_column(name, justify="right", min_width=width, no_wrap=True)
    table.add_column("", min_width=6)
    for change in section.changes:
        colour = _COLOURS[change.verdict]
        verdict = f"[{colour}]{change.verdict}[/]" if colour else ""
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
