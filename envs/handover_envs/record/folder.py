"""The folder beside the output in which a recording grows, so that it can be killed at any point.

.NAME.partial/
  lock         held by the one process that records here
  plan.json    what decides the result: another plan is refused
  SEED.mp4     a finished episode's film, and
  SEED.npz     its steps: written last, so that an episode that has it is whole
  SEED.failed  a seed whose episode did not succeed
  dataset/     the dataset, put together at the end and then renamed into place
"""

import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from handover_common import PLAN, lock_folder, read_plan, refuse_other_plan
from handover_conversion import DatasetError, json_bytes, write_whole
from handover_conversion.lerobot import RecordedSteps

from handover_envs.record.demonstration import Demonstration, RenderDifference


@dataclass(frozen=True)
class KeptEpisode:
    """An episode read back: its steps, what is told of it, and how its look differs."""

    steps: RecordedSteps
    summary: dict[str, Any]
    difference: RenderDifference | None


class RecordingFolder:
    """A recording under way; holds the lock while open, and leaves nothing without an episode."""

    def __init__(self, output: Path, plan: dict[str, Any]) -> None:
        """Take up an interrupted recording with the same plan, or start a new one.

        Raises DatasetError when the output exists, cannot be written, or is being recorded, or when
        one with another plan has finished episodes.
        """
        if os.path.lexists(output):  # a link to nowhere too
            raise DatasetError(f"{output} exists; choose another --output, or remove it")
        self._output = output
        self.folder = output.with_name(f".{output.name}.partial")
        self.dataset = self.folder / "dataset"
        self._lock = lock_folder(self.folder, output, "recording")
        try:
            self._take_up(plan)
        except BaseException:
            self._lock.close()
            raise

    def _take_up(self, plan: dict[str, Any]) -> None:
        former = read_plan(self.folder)
        if former == plan:
            return
        if self.finished():
            remedy = "remove it, or choose another --output"
            refuse_other_plan(self.folder, former, plan, len(self.finished()), remedy)
        self._clear()
        write_whole(self.folder / PLAN, json_bytes(plan))

    def __enter__(self) -> "RecordingFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.folder.exists() and not (self.finished() or self.failed()):
            shutil.rmtree(self.folder)
        self._lock.close()

    def finished(self) -> set[int]:
        """Give the seeds of the episodes that are kept already."""
        return {int(path.stem) for path in self.folder.glob("*.npz")}

    def failed(self) -> set[int]:
        """Give the seeds whose episodes did not succeed."""
        return {int(path.stem) for path in self.folder.glob("*.failed")}

    def keep(self, episode: Demonstration) -> None:
        """Put an episode on the disk."""
        write_whole(self._file(episode.seed, "mp4"), episode.video)
        difference = episode.look_difference
        told = {
            "summary": episode.summary(),
            "image_statistics": episode.image_statistics,
            "look_difference": None if difference is None else asdict(difference),
        }
        steps = io.BytesIO()
        np.savez(steps, state=episode.state, action=episode.action, told=json.dumps(told))
        write_whole(self._file(episode.seed, "npz"), steps.getvalue())

    def drop(self, seed: int) -> None:
        """Note that a seed's episode did not succeed."""
        write_whole(self._file(seed, "failed"), b"")

    def read(self, seed: int) -> KeptEpisode:
        """Read a kept episode back."""
        with np.load(self._file(seed, "npz")) as kept:
            told = json.loads(str(kept["told"]))
            steps = RecordedSteps(
                state=kept["state"],
                action=kept["action"],
                video=self._file(seed, "mp4"),
                image_statistics=told["image_statistics"],
            )
        difference = told["look_difference"]
        return KeptEpisode(
            steps, told["summary"], None if difference is None else RenderDifference(**difference)
        )

    def fresh_dataset(self) -> Path:
        """Make the empty folder in which the dataset is put together."""
        shutil.rmtree(self.dataset, ignore_errors=True)
        self.dataset.mkdir()
        return self.dataset

    def publish(self) -> None:
        """Move the dataset into place and tidy up; raises DatasetError if the place is taken."""
        try:
            self.dataset.rename(self._output)
        except OSError as error:
            raise DatasetError(
                f"cannot move {self.dataset} to {self._output}: {error.strerror}"
            ) from None
        shutil.rmtree(self.folder)

    def _file(self, seed: int, kind: str) -> Path:
        return self.folder / f"{seed:010d}.{kind}"

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
