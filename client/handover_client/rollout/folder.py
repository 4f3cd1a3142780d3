"""Work folder of a rollout, beside the lock and the plan of every work folder.

.NAME.partial/
  episodes.jsonl   a line for each finished episode, in the order in which they finished
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
        super().__init__(output, plan, "rollout")

    def prepare(self) -> None:
        """Read the episodes that an interrupted run has finished."""
        super().prepare()
        self.finished = _read_lines(self.path / _LINES)
        self._write_lines(self.finished.values())  # without what a kill cut short

    def keep(self, record: EpisodeRecord, video: bytes, trace: EpisodeTrace | None = None) -> None:
        """Write a finished episode: first its trace and its video, then its line."""
        if trace:
            trace.save(self._trace_path(record.episode))
        if video:
            write_bytes(self.path / record.video, video)
        with (self.path / _LINES).open("a", encoding="utf-8") as lines:
            lines.write(record.to_line())
            lines.flush()
            os.fsync(lines.fileno())
        self.finished[record.episode] = record

    def keep_first(self, episodes: int) -> None:
        """Drop the finished episodes after the first ones, with their videos and traces."""
        for episode in [each for each in self.finished if each >= episodes]:
            record = self.finished.pop(episode)
            self._trace_path(episode).unlink(missing_ok=True)
            if record.video:
                (self.path / record.video).unlink(missing_ok=True)

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
        return len(_read_lines(self.path / _LINES))

    def publish(self) -> None:
        """Move the finished rollout to its place, its lines in the episodes' order."""
        self._write_lines(self.records())
        super().publish()

    def _write_lines(self, records: Iterable[EpisodeRecord]) -> None:
        write_text(self.path / _LINES, "".join(record.to_line() for record in records))


def _read_lines(path: Path) -> dict[int, EpisodeRecord]:
    """Read the finished episodes; those that lost their server are to be played again."""
    finished = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = EpisodeRecord.from_line(line)
            except (ValueError, KeyError, TypeError):
                continue  # the line that was being written when the run was killed
            finished[record.episode] = record
    return {
        episode: record for episode, record in finished.items() if record.ended != "server_lost"
    }
