"""Progress bars on the standard error: of a loop, and of the training itself."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def make_bar(what: str, unit: str) -> Progress:
    """Make a bar with counts and time left; `note` is a text that its owner updates."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}{{task.fields[note]}}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def track(items: Iterable[Item], what: str, unit: str, total: int) -> Iterator[Item]:
    """Go through items behind a progress bar."""
    with make_bar(what, unit) as bar:
        task = bar.add_task("", total=total, note="")
        for item in items:
            yield item
            bar.advance(task)
