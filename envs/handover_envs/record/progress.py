"""The progress bar of a recording: episodes, failures, time left."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class RecordingProgress:
    """Shown on the standard error while it is open."""

    def __init__(self, episodes: int, finished: int) -> None:
        """Start at the episodes that an earlier run has finished."""
        self._bar = Progress(
            TextColumn("recording"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes, {task.fields[failed]} failed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )
        self._failed = 0
        self._task = self._bar.add_task("", total=episodes, completed=finished, failed=0)

    def __enter__(self) -> "RecordingProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one more episode."""
        self._bar.update(self._task, advance=1)

    def fail(self) -> None:
        """Count one more seed whose episode did not succeed."""
        self._failed += 1
        self._bar.update(self._task, failed=self._failed)
