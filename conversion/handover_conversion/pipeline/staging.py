"""Work folder of a conversion, which can be killed at any point and resumed.

    .NAME.partial/
      lock, plan.json as in every work folder; the plan is what is converted, from what, and how
      episodes/       finished episodes, not numbered yet: the .parquet is written last
      dataset/        the final dataset, assembled at the end and then moved into place

Every file is written under another name and renamed, so every existing file is complete.
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
    DatasetShape,
    notes_of,
    numbered_rows,
    parquet_bytes,
    rows_name,
    unnumbered_rows,
    video_name,
)
from handover_conversion.pipeline.plan import named_alike

_PUBLISHING = "publishing"  # a marker: the dataset is complete and being moved into place
_FORMER = "former"  # the dataset that it replaces, until it has


def finish_publishing(output: Path) -> dict[str, Any] | None:
    """Clean up after a run that was stopped while it moved its dataset into place.

    Return the plan of the dataset that is now at `output`, or None if there was no such run.
    Raises FileError if another process is working there.
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
        _remove(folder)
    return plan


class Staging(WorkFolder):
    """A conversion under way; holds the lock while it is open."""

    folders = ("episodes",)
    remedy = "--overwrite it, or choose another --output"

    def __init__(self, output: Path, plan: dict[str, Any], *, start_over: bool) -> None:
        """Resume an interrupted conversion with the same plan, or start a new one.

        start_over: discard the finished episodes of another plan, which are refused otherwise.
        Raises FileError for those, where nothing can be written, or if another process works there.
        """
        self.dataset = partial_folder(output) / "dataset"
        self._episodes = partial_folder(output) / "episodes"
        super().__init__(output, plan, "conversion", replace=True, start_over=start_over)

    def find_change(self, former: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
        """See WorkFolder; the source may have moved in the meantime, its content may not change."""
        return super().find_change(named_alike(former, plan) if former else former, plan)

    def clear(self) -> None:
        """Remove the episodes of another plan, but not a dataset that waits to be replaced."""
        for leftover in (self._episodes, self.dataset):
            shutil.rmtree(leftover, ignore_errors=True)

    def finished(self) -> set[int]:
        """Recorded episodes that need no more work."""
        return {int(path.stem) for path in self._episodes.glob("[0-9]*.parquet")}

    def finished_count(self) -> int:
        """Count the episodes that need no more work."""
        return len(self.finished())

    def is_worth_keeping(self) -> bool:
        """Whether there are finished episodes, or a dataset that waits to be replaced."""
        return super().is_worth_keeping() or (self.path / _FORMER).exists()

    def keep(self, recorded: int, episode: ConvertedEpisode) -> None:
        """Write a finished episode to the disk, under its number in the source."""
        for camera, video in episode.videos.items():
            write_bytes(self._video(recorded, camera), video)
        rows = parquet_bytes(unnumbered_rows(episode))
        write_bytes(self._episodes / f"{recorded:06d}.parquet", rows)

    def number(
        self, recorded: int, index: int, first_row: int, shape: DatasetShape
    ) -> tuple[int, list[int], list[str]]:
        """Add a finished episode to the dataset as episode `index`.

        Return its length, its tasks and what its conversion has to tell.
        """
        table = pq.read_table(self._episodes / f"{recorded:06d}.parquet")
        for camera in shape.cameras:
            video = self.dataset / video_name(index, camera.name)
            link_or_copy(self._video(recorded, camera.name), video)
        rows = parquet_bytes(numbered_rows(table, index, first_row))
        write_bytes(self.dataset / rows_name(index), rows)
        tasks: dict[int, None] = {}
        for column in ("task_index", *shape.task_columns):
            tasks |= dict.fromkeys(table.column(column).to_pylist())
        return table.num_rows, list(tasks), notes_of(table)

    def _video(self, recorded: int, camera: str) -> Path:
        return self._episodes / f"{recorded:06d}.{camera}.mp4"

    def publish(self) -> None:
        """Move the finished dataset into place, replacing an existing one, and clean up."""
        write_bytes(self.path / _PUBLISHING, b"")
        if self.output.exists():
            self.output.rename(self.path / _FORMER)
        self.move(self.dataset)
        _remove(self.path)


def _remove(folder: Path) -> None:
    """Remove the folder, the marker last: until then a run that stops here counts as finished."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    (folder / _PUBLISHING).unlink()
    shutil.rmtree(folder)
