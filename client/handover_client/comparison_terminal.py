"""A comparison of two runs as tables in the terminal."""

from rich.console import Console
from rich.table import Table

from handover_client.comparison import Comparison, Pairing, Section

_COLOURS = {"better": "green", "worse": "red", "": ""}


def print_comparison(comparison: Comparison) -> None:
    """Print what is compared, what does not fit, and every section."""
    console = Console(highlight=False)
    console.print(f"\n[bold]before[/]  {comparison.before}\n[bold]after[/]   {comparison.after}")
    for mismatch in comparison.mismatches:
        console.print(f"[bold red]not comparable[/]: {mismatch}")
    for note in comparison.notes:
        console.print(f"[yellow]note[/]: {note}")
    for section in comparison.sections:
        console.print()
        console.print(_table(section))
    for pairing in comparison.pairings:
        console.print()
        console.print(_pair_table(pairing))
        console.print(pairing.verdict())


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(section.title, min_width=26, no_wrap=True)
    for name in ("before", "after", "difference"):
        table.add_column(name, justify="right", min_width=10)
    table.add_column("")
    for change in section.changes:
        colour = _COLOURS[change.verdict]
        verdict = f"[{colour}]{change.verdict}[/]" if colour else ""
        table.add_row(change.name, *change.cells(), verdict)
    return table


def _pair_table(pairing: Pairing) -> Table:
    counts = pairing.counts
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"episodes by {pairing.outcome}", min_width=26, no_wrap=True)
    for name in ("after: yes", "after: no"):
        table.add_column(name, justify="right", min_width=10)
    table.add_row("before: yes", str(counts.both), str(counts.only_a))
    table.add_row("before: no", str(counts.only_b), str(counts.neither))
    return table
