"""Work folder of a conversion, which can be killed at any point and taken up again.

    .NAME.partial/
      lock, plan.json as in every work folder; the plan says what is converted, from what, how
      episodes/       finished episodes, not numbered yet: the .parquet is written last
      dataset/        the dataset as it will be, put together at the end and then moved into place

Every file is written under another name and renamed, so what is there is whole.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from handover_common import (
    WorkFolder,
    link_or_copy,
    lock_work,
    partial_folder,
    read_plan,
    write_bytes,
)

from handover_conversion.groot.writer import (
    ConvertedEpisode,
    numbered_rows,
    parquet_bytes,
    rows_name,
    unnumbered_rows,
    video_name,
)
from handover_conversion.pipeline.plan import named_alike

_PUBLISHING = "publishing"  # a mark: the dataset is whole and on its way to its place
_FORMER = "former"  # the dataset that it replaces, until it is there


def finish_publishing(output: Path) -> dict[str, Any] | None:
    """Tidy up after a run that was stopped while it moved its dataset into place.

    Returns the plan of the dataset that is now at `output`, or None when there was no such run.
    Raises FileError when another process is at work there.
    """
    folder = partial_folder(output)
    if not folder.is_dir():
        return None
    with lock_work(output):
        if not (folder / _PUBLISHING).is_file():
            return None
        if (folder / "dataset").is_dir():  # not moved yet: back to before, it is assembled again
            if (folder / _FORMER).is_dir() and not output.exists():
                (folder / _FORMER).rename(output)
            (folder / _PUBLISHING).unlink()
            return None
        plan = read_plan(folder)
        _tidy(folder)
    return plan


class Staging(WorkFolder):
    """A conversion under way; holds the lock while it is open."""

    folders = ("episodes",)
    remedy = "--overwrite it, or choose another --output"

    def __init__(self, output: Path, plan: dict[str, Any], *, start_over: bool) -> None:
        """Take up the folder of an interrupted conversion with the same plan, or start a new one.

        start_over: throw away what one with another plan had finished. Raises FileError when it
        is not to be, the place cannot be written, or another process works there.
        """
        self.dataset = partial_folder(output) / "dataset"
        self._episodes = partial_folder(output) / "episodes"
        super().__init__(output, plan, "conversion", replace=True, start_over=start_over)

    def find_change(self, former: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
        """See WorkFolder; the source may have moved meanwhile, its content may not."""
        return super().find_change(named_alike(former, plan) if former else former, plan)

    def clear(self) -> None:
        """Remove the episodes of another plan, but not a dataset that waits to be replaced."""
        for leftover in (self._episodes, self.dataset):
            shutil.rmtree(leftover, ignore_errors=True)

    def finished(self) -> set[int]:
        """The recorded episodes that need no more work."""
        return {int(path.stem) for path in self._episodes.glob("[0-9]*.parquet")}

    def finished_count(self) -> int:
        """Count the episodes that need no more work."""
        return len(self.finished())

    def is_worth_keeping(self) -> bool:
        """Whether there are finished episodes, or a dataset that waits to be replaced."""
        return super().is_worth_keeping() or (self.path / _FORMER).exists()

    def keep(self, recorded: int, episode: ConvertedEpisode) -> None:
        """Put a finished episode on the disk, under its number in the source."""
        write_bytes(self._episodes / f"{recorded:06d}.mp4", episode.video)
        rows = parquet_bytes(unnumbered_rows(episode))
        write_bytes(self._episodes / f"{recorded:06d}.parquet", rows)

    def number(self, recorded: int, index: int, first_row: int) -> tuple[int, list[int]]:
        """Place a finished episode in the dataset as its episode `index`: (length, its tasks)."""
        table = pq.read_table(self._episodes / f"{recorded:06d}.parquet")
        link_or_copy(self._episodes / f"{recorded:06d}.mp4", self.dataset / video_name(index))
        rows = parquet_bytes(numbered_rows(table, index, first_row))
        write_bytes(self.dataset / rows_name(index), rows)
        tasks = dict.fromkeys(table.column("task_index").to_pylist())
        return table.num_rows, list(tasks)

    def publish(self) -> None:
        """Move the finished dataset into place, in the stead of an existing one, and tidy up."""
        write_bytes(self.path / _PUBLISHING, b"")
        if self.output.exists():
            self.output.rename(self.path / _FORMER)
        self.move(self.dataset)
        _tidy(self.path)


def _tidy(folder: Path) -> None:
    """Remove the folder, the mark last: until then a run that stops here counts as finished."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    (folder / _PUBLISHING).unlink()
    shutil.rmtree(folder)
