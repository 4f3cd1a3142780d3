"""The folder beside the output in which a conversion grows, so that it can be killed at any point.

    .NAME.partial/
      lock            held by the one process that works here
      plan.json       what is being converted, from what, how: another plan is refused
      episodes/       finished episodes, not numbered yet: the .parquet is written last
      dataset/        the dataset as it will be, put together at the end and then moved into place

Every file is written under another name and renamed, so what is there is whole.
"""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.parquet as pq
from handover_common import PLAN, lock_folder, read_plan, refuse_other_plan

from handover_conversion.errors import DatasetError
from handover_conversion.features import place
from handover_conversion.groot.writer import (
    ConvertedEpisode,
    numbered_rows,
    parquet_bytes,
    rows_name,
    unnumbered_rows,
    video_name,
)
from handover_conversion.metadata_files import json_bytes, link_or_copy, write_whole
from handover_conversion.pipeline.plan import named_alike

_PUBLISHING = "publishing"  # a mark: the dataset is whole and on its way to its place
_FORMER = "former"  # the dataset that it replaces, until it is there


def partial_folder(output: Path) -> Path:
    """Name the folder in which the conversion to `output` grows. Raises DatasetError for /."""
    if not output.name:
        raise DatasetError(f"{output} cannot be replaced: choose a folder in it (--output)")
    return output.with_name(f".{output.name}.partial")


def finish_publishing(output: Path) -> dict[str, Any] | None:
    """Tidy up after a run that was stopped while it moved its dataset into place.

    Gives the plan of the dataset that is now at `output`, or None when there was no such run.
    Raises DatasetError when another process is at work there.
    """
    folder = partial_folder(output)
    if not folder.is_dir():
        return None
    with lock_folder(folder, output, "converting"):
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


class Staging:
    """A conversion under way; holds the lock while it is open."""

    def __init__(self, output: Path, plan: dict[str, Any], *, start_over: bool) -> None:
        """Take up the folder of an interrupted conversion with the same plan, or start a new one.

        start_over: throw away what one with another plan had finished. Raises DatasetError when it
        is not to be, the place cannot be written, or another process works there.
        """
        self.folder = partial_folder(output)
        self.dataset = self.folder / "dataset"
        self._output, self._episodes = output, self.folder / "episodes"
        self._lock = lock_folder(self.folder, output, "converting")
        try:
            self._take_up(plan, start_over)
        except BaseException:
            self._lock.close()
            raise

    def _take_up(self, plan: dict[str, Any], start_over: bool) -> None:
        former = read_plan(self.folder)
        if former is not None:
            former = named_alike(former, plan)
        if former != plan:
            if self.finished() and not start_over:
                remedy = "--overwrite it, or choose another --output"
                refuse_other_plan(self.folder, former, plan, len(self.finished()), remedy)
            for leftover in (self._episodes, self.dataset):
                shutil.rmtree(leftover, ignore_errors=True)
        write_whole(self.folder / PLAN, json_bytes(plan))
        self._episodes.mkdir(exist_ok=True)

    def __enter__(self) -> "Staging":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def finished(self) -> set[int]:
        """Give the recorded episodes that need no more work."""
        return {int(path.stem) for path in self._episodes.glob("[0-9]*.parquet")}

    def keep(self, recorded: int, episode: ConvertedEpisode) -> None:
        """Put a finished episode on the disk, under its number in the source."""
        write_whole(self._episodes / f"{recorded:06d}.mp4", episode.video)
        rows = parquet_bytes(unnumbered_rows(episode))
        write_whole(self._episodes / f"{recorded:06d}.parquet", rows)

    def clear_dataset(self) -> None:
        """Throw away what an interrupted run had put together: it is made anew."""
        shutil.rmtree(self.dataset, ignore_errors=True)
        self.dataset.mkdir()

    def number(self, recorded: int, index: int, first_row: int) -> tuple[int, list[int]]:
        """Place a finished episode in the dataset as its episode `index`: (length, its tasks)."""
        table = pq.read_table(self._episodes / f"{recorded:06d}.parquet")
        video = place(self.dataset, video_name(index))
        link_or_copy(self._episodes / f"{recorded:06d}.mp4", video)
        rows = parquet_bytes(numbered_rows(table, index, first_row))
        write_whole(place(self.dataset, rows_name(index)), rows)
        tasks = dict.fromkeys(table.column("task_index").to_pylist())
        return table.num_rows, list(tasks)

    def publish(self) -> None:
        """Move the finished dataset into place, in the stead of an existing one, and tidy up."""
        write_whole(self.folder / _PUBLISHING, b"")
        if self._output.exists():
            self._output.rename(self.folder / _FORMER)
        self.dataset.rename(self._output)
        _tidy(self.folder)


def _tidy(folder: Path) -> None:
    """Remove the folder, the mark last: until then a run that stops here counts as finished."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    (folder / _PUBLISHING).unlink()
    shutil.rmtree(folder)
