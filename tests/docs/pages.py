"""The documentation as data: its pages, their fenced blocks, inline code, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "training/recipes/*.md", "checkpoints/*/README.md")
    for page in ROOT.glob(pattern)
)

_FENCE = re.compile(r"^\s*```(\S*)\s*$")
_MARKER = re.compile(r"^\s*<!-- (run|not run): (.+?) -->\s*$")
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment in the line above it.

    `<!-- run: TEST -->` names the test that runs it, `<!-- not run: REASON -->` says why none does.
    """

    page: Path
    line: int  # of its first line of text, from 1
    language: str
    text: str
    marker: str  # "run", "not run" or ""
    note: str  # the test, or the reason

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Give a page's fenced blocks in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start, language = None, ""
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence and start is None:
            start, language = number, fence[1]
        elif fence and start is not None:
            marker = _MARKER.match(lines[start - 1]) if start else None
            yield Block(
                page,
                start + 2,
                language,
                "\n".join(lines[start + 1 : number]),
                *(marker.groups() if marker else ("", "")),
            )
            start = None
    assert start is None, f"{page}: the fence opened in line {start} is never closed"


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Give the lines outside fenced blocks, numbered from 1."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def code_spans(page: Path) -> Iterator[tuple[str, str]]:
    """Give the inline code of a page: (place, code)."""
    for number, line in prose(page):
        for span in _SPAN.findall(line):
            yield f"{page.relative_to(ROOT)}:{number}", span.replace("\\|", "|")


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Give the links and images of a page: (place, target)."""
    for number, line in prose(page):
        for markdown, html in _LINK.findall(_SPAN.sub("", line)):
            yield f"{page.relative_to(ROOT)}:{number}", markdown or html


def anchors(page: Path) -> set[str]:
    """List the anchors that GitHub makes of a page's headings."""
    found = set()
    for _, line in prose(page):
        if line.startswith("#"):
            title = line.lstrip("#").strip().lower().replace("`", "")
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found
