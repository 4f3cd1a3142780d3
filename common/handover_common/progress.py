"""Progress bars on the standard error, the same for every command."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from handover_common.terminal import printable

Item = TypeVar("Item")


class ProgressBar:
    """`what ━━━━ 3/10 unit, note 0:01:02 left`; shown while it is open.

    A transient one is for terminals alone, and gone at the end; a log gets the lines of `log`.
    """

    def __init__(
        self, what: str, total: int, unit: str = "", *, done: int = 0, transient: bool = False
    ) -> None:
        """Start at what an earlier run has done of the total."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *([TextColumn(f"{unit}{{task.fields[note]}}")] if unit else []),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=transient,
            disable=transient and not self._console.is_terminal,  # a file would get empty lines
        )
        self._task = self._bar.add_task(printable(what), total=total, completed=done, note="")
        self._done, self._started = done, time.monotonic()

    def __enter__(self) -> "ProgressBar":
        self._started = time.monotonic()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """Count some more."""
        self.show(done=self._done + steps)

    def show(
        self, *, done: int | None = None, what: str | None = None, note: str | None = None
    ) -> None:
        """Change what is shown: how much is done, of what, and a note behind the unit."""
        self._done = self._done if done is None else done
        self._bar.update(self._task, completed=self._done)
        if what is not None:
            self._bar.update(self._task, description=printable(what))
        if note is not None:
            self._bar.update(self._task, note=f", {printable(note)},")

    def seconds(self) -> float:
        """The time since the bar was opened, above 0."""
        return max(time.monotonic() - self._started, 1e-9)

    def log(self, text: str) -> None:
        """Write a line where there is no terminal: a log has no bar."""
        if not self._console.is_terminal:
            self._console.print(printable(text))


def track(
    items: Iterable[Item], what: str, unit: str = "", *, total: int, transient: bool = False
) -> Iterator[Item]:
    """Go through items behind a progress bar."""
    with ProgressBar(what, total, unit, transient=transient) as bar:
        for item in items:
            yield item
            bar.advance()
