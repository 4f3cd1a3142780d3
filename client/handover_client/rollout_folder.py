"""The folder of a rollout, which can be killed at any point and taken up again.

    .NAME.partial/
      lock             held by the one process that works here
      plan.json        what is rolled out; another plan is refused
      episodes.jsonl   a line for each finished episode, in the order in which they finished
      videos/          episode_NNNNNN.mp4, there before its episode's line
      traces/          episode_NNNNNN.npz, the same

When every episode is there the report is added, and the folder is moved to its place as a whole.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from handover_client.episode_record import EpisodeRecord
from handover_client.episode_trace import EpisodeTrace
from handover_client.errors import EvaluationError
from handover_client.run_folder import write_file, write_json

_LINES = "episodes.jsonl"
_PLAN = "plan.json"
_LOCK = "lock"
_PARTS = ("videos", "traces")


class RolloutFolder:
    """A rollout under way; holds the lock while it is open."""

    def __init__(self, output: Path, plan: Mapping[str, Any]) -> None:
        """Take up an interrupted rollout of the same plan, or start a new one.

        plan: what decides the episodes' outcomes, as JSON. Raises EvaluationError when `output`
        exists, nothing can be written beside it, another process works there, or the interrupted
        rollout had another plan.
        """
        if output.exists():
            raise EvaluationError(f"{output} exists already: choose another --output, or remove it")
        self.output = output
        self.path = output.with_name(f".{output.name}.partial")
        try:
            for name in _PARTS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise EvaluationError(f"cannot write beside {output}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take_up(json.loads(json.dumps(plan)))
        except OSError:
            self._lock.close()
            raise EvaluationError(f"another process is writing to {output}; wait for it") from None
        except BaseException:
            self._lock.close()
            raise

    def _take_up(self, plan: Mapping[str, Any]) -> None:
        path = self.path / _PLAN
        if not path.exists():
            write_json(path, plan)
        former = _read_json(path)
        changed = [key for key in plan if former.get(key) != plan[key]]
        if changed:
            key = changed[0]
            raise EvaluationError(
                f"{self.path} holds an interrupted rollout with another {key} "
                f"({former.get(key)}, now {plan[key]}): remove it, or choose another --output"
            )
        self.finished = _read_lines(self.path / _LINES)
        lines = "".join(record.to_line() for record in self.finished.values())
        write_file(self.path / _LINES, lines)  # without what a kill cut short

    def keep(self, record: EpisodeRecord, video: bytes, trace: EpisodeTrace | None = None) -> None:
        """Put a finished episode on the disk: first its trace and its video, then its line.

        Raises EvaluationError when it cannot be written.
        """
        try:
            self._write(record, video, trace)
        except OSError as error:
            raise EvaluationError(
                f"cannot write to {self.path}: {error.strerror}; {len(self.finished)} episodes are "
                "done: when there is room, the same command goes on with the others"
            ) from None
        self.finished[record.episode] = record

    def _write(self, record: EpisodeRecord, video: bytes, trace: EpisodeTrace | None) -> None:
        if trace:
            trace.save(self._trace_path(record.episode))
        if video:
            path = self.path / record.video
            partial = path.with_suffix(".partial")
            partial.write_bytes(video)
            partial.replace(path)
        with (self.path / _LINES).open("a", encoding="utf-8") as lines:
            lines.write(record.to_line())
            lines.flush()
            os.fsync(lines.fileno())

    def trace(self, episode: int) -> EpisodeTrace:
        """Read what a finished episode's robot did; raises EvaluationError where it is not kept."""
        try:
            return EpisodeTrace.load(self._trace_path(episode))
        except (OSError, ValueError, KeyError) as error:
            raise EvaluationError(f"{self.path} has no trace of {episode}: {error}") from None

    def _trace_path(self, episode: int) -> Path:
        return self.path / f"traces/episode_{episode:06d}.npz"

    def records(self) -> list[EpisodeRecord]:
        """List the finished episodes by number."""
        return [self.finished[episode] for episode in sorted(self.finished)]

    def publish(self) -> None:
        """Move the finished rollout to its place, its lines in the episodes' order."""
        write_file(self.path / _LINES, "".join(record.to_line() for record in self.records()))
        for leftover in (*self.path.glob("*/*.partial"), self.path / _LOCK):
            leftover.unlink()
        for name in _PARTS:
            if not any((self.path / name).iterdir()):
                (self.path / name).rmdir()
        try:
            self.path.rename(self.output)
        except OSError as error:
            raise EvaluationError(
                f"cannot move {self.path} to {self.output}: {error.strerror}"
            ) from None

    def __enter__(self) -> "RolloutFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.close()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvaluationError(f"{path} is not JSON ({error}): remove {path.parent}") from None


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
