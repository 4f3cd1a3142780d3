"""Work folder of a recording, which can be killed at any point and resumed.

.NAME.partial/
  lock, plan.json   as in every work folder
  SEED.NAME.mp4  a finished episode's video of each camera, and
  SEED.npz     its steps: written last, so that an episode that has it is complete
  SEED.failed  a seed whose episode did not succeed
  SEED.spared  a seed in which the policy needed no takeover
  dataset/     the dataset, assembled at the end and then renamed into place
"""

import io
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import WorkFolder, partial_folder, write_bytes
from handover_conversion.lerobot import RecordedSteps

from handover_envs.record.demonstration import Demonstration
from handover_envs.record.filming import RenderDifference

METADATA = "meta/recording.json"  # beside LeRobot's own files, which stay as lerobot writes them
INTERVENTION = "intervention"  # the mark of what an expert did where a policy had driven


@dataclass(frozen=True)
class KeptEpisode:
    """An episode read back: its steps, its entry in the record, and its look's difference."""

    steps: RecordedSteps
    summary: dict[str, Any]
    difference: RenderDifference | None


class RecordingFolder(WorkFolder):
    """A recording under way; holds the lock while open, and leaves nothing without an episode."""

    def __init__(self, output: Path, plan: dict[str, Any]) -> None:
        """See WorkFolder."""
        self.dataset = partial_folder(output) / "dataset"
        super().__init__(output, plan, "recording")

    def finished(self) -> set[int]:
        """Seeds of the episodes that are already kept."""
        return {int(path.stem) for path in self.path.glob("*.npz")}

    def left_out(self, kind: str = "*") -> set[int]:
        """Seeds that left no episode: failed, spared, or all of them."""
        kinds = ("failed", "spared") if kind == "*" else (kind,)
        return {int(path.stem) for each in kinds for path in self.path.glob(f"*.{each}")}

    def finished_count(self) -> int:
        """Count the episodes that are already kept."""
        return len(self.finished())

    def is_worth_keeping(self) -> bool:
        """Whether a seed was tried: what failed is not tried again either."""
        return bool(self.finished() or self.left_out())

    def keep(self, episode: Demonstration) -> None:
        """Write an episode to the disk."""
        filmed, difference = episode.filmed, episode.filmed.look_difference
        for camera, video in filmed.videos.items():
            write_bytes(self._file(episode.seed, f"{camera}.mp4"), video)
        record = {
            "summary": episode.summary(),
            "image_statistics": filmed.image_statistics,
            "look_difference": None if difference is None else asdict(difference),
        }
        steps = io.BytesIO()
        np.savez(steps, state=filmed.state, action=filmed.action, record=json.dumps(record))
        write_bytes(self._file(episode.seed, "npz"), steps.getvalue())

    def drop(self, seed: int, kind: str) -> None:
        """Note that a seed left no episode: `failed` or `spared`."""
        write_bytes(self._file(seed, kind), b"")

    def read(self, seed: int) -> KeptEpisode:
        """Read a kept episode back."""
        with np.load(self._file(seed, "npz")) as kept:
            record = json.loads(str(kept["record"]))
            steps = RecordedSteps(
                state=kept["state"],
                action=kept["action"],
                videos={
                    camera: self._file(seed, f"{camera}.mp4")
                    for camera in record["image_statistics"]
                },
                image_statistics=record["image_statistics"],
                marks={INTERVENTION: np.ones(len(kept["state"]), bool)},
            )
        difference = record["look_difference"]
        return KeptEpisode(
            steps, record["summary"], None if difference is None else RenderDifference(**difference)
        )

    def publish(self) -> None:
        """Move the dataset into place and clean up. Raises FileError if the place is taken."""
        self.move(self.dataset)
        shutil.rmtree(self.path)

    def _file(self, seed: int, kind: str) -> Path:
        return self.path / f"{seed:010d}.{kind}"
