"""The progress bar of a conversion: episodes, frames per second, time left."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ConversionProgress:
    """Shown on the standard error while it is open."""

    def __init__(self, episodes: int, finished: int) -> None:
        """Start at the episodes that an earlier run has finished."""
        self._bar = Progress(
            TextColumn("converting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes, {task.fields[frames_per_s]:.0f} frames/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=episodes, completed=finished, frames_per_s=0.0)
        self._frames, self._started = 0, time.monotonic()

    def __enter__(self) -> "ConversionProgress":
        self._started = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, frames: int) -> None:
        """Count one more episode, of so many recorded frames."""
        self._frames += frames
        rate = self._frames / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=1, frames_per_s=rate)
