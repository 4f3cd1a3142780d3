"""Tables of figures in a page of docs, each in the place that the page keeps for its results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table as Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write_table(name: str, table: str, docs: Path = DOCS) -> None:
    """Put the table of results/NAME.json into a page, that of serving by default."""
    begin, end = f"<!-- {name}.json -->", f"<!-- end of {name}.json -->"
    page = docs.read_text(encoding="utf-8")
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise SystemExit(f"{docs} has no {begin} … {end}")
    written = f"{before}{begin}\n{table}\n{end}{after}"
    if written != page:  # a test that only compares leaves the page to those who read it
        docs.write_text(written, encoding="utf-8")
