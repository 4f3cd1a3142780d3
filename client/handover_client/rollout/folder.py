"""Work folder of a rollout, beside the lock and the plan of every work folder.

.NAME.partial/
  episodes.jsonl   a line for each episode that was played, in the order in which they ended
  videos/          episode_NNNNNN.mp4, there before its episode's line
  traces/          episode_NNNNNN.npz, the same
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from handover_common import WorkFolder, write_bytes, write_text

from handover_client.errors import EvaluationError
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace

_LINES = "episodes.jsonl"


class RolloutFolder(WorkFolder):
    """A rollout under way."""

    folders = ("videos", "traces")

    def __init__(self, output: Path, plan: Mapping[str, Any]) -> None:
        """See WorkFolder."""
        self.finished: dict[int, EpisodeRecord] = {}
        self.lost: list[EpisodeRecord] = []
        """Plays that lost their server: their episodes are played again."""
        super().__init__(output, plan, "rollout")

    def find_change(self, former: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
        """See WorkFolder; plans of before have the rate that was told, beside the one played."""
        return super().find_change(without_told_rate(former), plan)

    def prepare(self) -> None:
        """Read the episodes that an interrupted run has finished."""
        super().prepare()
        self.finished, self.lost = _read_lines(self.path / _LINES)
        # without what a kill cut short
        self._write_lines([*self.lost, *self.finished.values()])

    def keep(self, record: EpisodeRecord, video: bytes, trace: EpisodeTrace | None = None) -> None:
        """Write a finished episode: first its trace and its video, then its line.

        Of one that lost its server the line alone is kept: it is not finished.
        """
        if trace and not record.lost_server:
            trace.save(self._trace_path(record.episode))
        if video:
            write_bytes(self.path / record.video, video)
        with (self.path / _LINES).open("a", encoding="utf-8") as lines:
            lines.write(record.to_line())
            lines.flush()
            os.fsync(lines.fileno())
        if record.lost_server:
            self.lost.append(record)
        else:
            self.finished[record.episode] = record

    def keep_first(self, episodes: int) -> None:
        """Drop the finished episodes after the first ones, with their videos and traces."""
        for episode in [each for each in self.finished if each >= episodes]:
            record = self.finished.pop(episode)
            self._trace_path(episode).unlink(missing_ok=True)
            if record.video:
                (self.path / record.video).unlink(missing_ok=True)
        self.lost = [record for record in self.lost if record.episode < episodes]

    def trace(self, episode: int) -> EpisodeTrace:
        """Read a finished episode's trace; raises EvaluationError where it is not kept."""
        try:
            return EpisodeTrace.load(self._trace_path(episode))
        except (OSError, ValueError, KeyError) as error:
            raise EvaluationError(f"{self.path} has no trace of {episode}: {error}") from None

    def _trace_path(self, episode: int) -> Path:
        return self.path / f"traces/episode_{episode:06d}.npz"

    def records(self) -> list[EpisodeRecord]:
        """List the finished episodes by number."""
        return [self.finished[episode] for episode in sorted(self.finished)]

    def finished_count(self) -> int:
        """Count the finished episodes."""
        return len(_read_lines(self.path / _LINES)[0])

    def publish(self) -> None:
        """Move the finished rollout to its place, its lines in the episodes' order."""
        self._write_lines(self.records())
        super().publish()

    def _write_lines(self, records: Iterable[EpisodeRecord]) -> None:
        write_text(self.path / _LINES, "".join(record.to_line() for record in records))


def without_told_rate(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a plan what its chunk_rate_hz says."""
    return {name: value for name, value in plan.items() if name != "policy_rate_hz"}


def _read_lines(path: Path) -> tuple[dict[int, EpisodeRecord], list[EpisodeRecord]]:
    """Read the finished episodes, and the plays that lost their server."""
    finished: dict[int, EpisodeRecord] = {}
    lost: list[EpisodeRecord] = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        try:
            record = EpisodeRecord.from_line(line)
        except (ValueError, KeyError, TypeError):
            continue  # the line that was being written when the run was killed
        if record.lost_server:
            lost.append(record)
        else:
            finished[record.episode] = record
    return finished, lost
