"""Work folder of a replay: the policy's answers about each finished trajectory.

    .NAME.partial/
      lock, plan.json   as in every work folder
      answers/          episode_NNNNNN.npz, whole or not there

Everything else about a trajectory is read from the dataset again.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from handover_common import WorkFolder, atomic_path
from handover_proto import StageDurations

from handover_client.replay.replayer import ReplayedEpisode
from handover_client.results.latency import Call

_ANSWERS = "answers"


class ReplayFolder(WorkFolder):
    """A replay under way."""

    unit = "trajectories"
    folders = (_ANSWERS,)

    def __init__(self, output: Path, plan: Mapping[str, Any]) -> None:
        """See WorkFolder."""
        super().__init__(output, plan, "replay")

    def answers(self, episode: int) -> ReplayedEpisode | None:
        """Read the policy's answers about an episode, if the run came that far."""
        try:
            with np.load(self._file(episode), allow_pickle=False) as kept:
                calls = tuple(
                    Call(float(client_ms), StageDurations(*map(float, stages)))
                    for client_ms, *stages in kept["calls_ms"]
                )
                return ReplayedEpisode(kept["predicted"], calls)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None  # not there, or cut short by a machine that went down: asked again

    def keep(self, episode: int, answers: ReplayedEpisode) -> None:
        """Write a finished trajectory's answers."""
        calls_ms = [(call.client_ms, *dataclasses.astuple(call.server)) for call in answers.calls]
        with atomic_path(self._file(episode)) as partial, partial.open("wb") as file:
            np.savez(file, predicted=answers.predicted, calls_ms=np.array(calls_ms))

    def publish(self) -> None:
        """Move the finished run to its place: its answers are in actions.npz by then."""
        shutil.rmtree(self.path / _ANSWERS)
        super().publish()

    def finished_count(self) -> int:
        """Count the finished trajectories."""
        return len(list((self.path / _ANSWERS).glob("*.npz")))

    def _file(self, episode: int) -> Path:
        return self.path / _ANSWERS / f"episode_{episode:06d}.npz"
