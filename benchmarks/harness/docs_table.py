"""Tables of figures in docs/serving.md, each in the place that the page keeps for its results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table as Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write_table(name: str, table: str) -> None:
    """Put the table of results/NAME.json into the page."""
    begin, end = f"<!-- {name}.json -->", f"<!-- end of {name}.json -->"
    page = DOCS.read_text(encoding="utf-8")
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise SystemExit(f"{DOCS} has no {begin} … {end}")
    written = f"{before}{begin}\n{table}\n{end}{after}"
    if written != page:  # a test that only compares leaves the page to those who read it
        DOCS.write_text(written, encoding="utf-8")
