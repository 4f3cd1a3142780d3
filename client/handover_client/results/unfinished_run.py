"""The folder of an evaluation under way, which can be killed at any point and taken up again.

    .NAME.partial/
      lock         held by the one process that works here
      plan.json    what decides the results; another plan is refused
      …            what is finished, in folders and files of each kind of run

When everything is there the report is added, and the folder is moved to its place as a whole. A run
that ends before anything is finished leaves nothing.
"""

import fcntl
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from handover_client.errors import EvaluationError
from handover_client.results.run_folder import write_json

_PLAN = "plan.json"
_LOCK = "lock"

_Run = TypeVar("_Run", bound="UnfinishedRun")


def check_new(output: Path) -> None:
    """Raise EvaluationError when `output` exists: nothing there is ever written to."""
    if os.path.lexists(output):  # a link to nowhere too
        raise EvaluationError(f"{output} exists already: choose another --output, or remove it")


class UnfinishedRun(ABC):
    """A run under way; holds the lock while it is open."""

    def __init__(
        self, output: Path, plan: Mapping[str, Any], kind: str, parts: Sequence[str]
    ) -> None:
        """Take up an interrupted run of the same plan, or start a new one.

        plan: what decides the results, as JSON; parts: folders for what is finished. Raises
        EvaluationError when `output` exists, nothing can be written beside it, another process
        works there, or the interrupted run had another plan.
        """
        check_new(output)
        self.output = output
        self.path = output.with_name(f".{output.name}.partial")
        self._parts = parts
        try:
            for name in parts:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise EvaluationError(f"cannot write beside {output}: {error.strerror}") from None
        try:
            self._own()
            self._check_plan(json.loads(json.dumps(plan)), kind)
        except BaseException:
            self.close()
            raise

    def _own(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EvaluationError(
                f"another process is writing to {self.output}; wait for it"
            ) from None

    def _check_plan(self, plan: Mapping[str, Any], kind: str) -> None:
        path = self.path / _PLAN
        if not path.exists():
            write_json(path, plan)
        former = _read_json(path)
        changed = [key for key in plan if former.get(key) != plan[key]]
        if changed:
            key = changed[0]
            raise EvaluationError(
                f"{self.path} holds an interrupted {kind} with another {key} "
                f"({former.get(key)}, now {plan[key]}): remove it, or choose another --output"
            )

    def publish(self) -> None:
        """Move the finished run to its place, without what only an unfinished one needs."""
        for leftover in (*self.path.glob("*/*.partial"), self.path / _LOCK):
            leftover.unlink()
        for name in self._parts:
            if not any((self.path / name).iterdir()):
                (self.path / name).rmdir()
        try:
            self.path.rename(self.output)
        except OSError as error:
            raise EvaluationError(
                f"cannot move {self.path} to {self.output}: {error.strerror}"
            ) from None

    @abstractmethod
    def is_worth_keeping(self) -> bool:
        """Tell whether something is finished, from which the same command would go on."""

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def __enter__(self: _Run) -> _Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.path.exists() and not self.is_worth_keeping():
            shutil.rmtree(self.path, ignore_errors=True)
        self.close()


def no_room(path: Path, error: OSError, finished: str) -> EvaluationError:
    """Say that something could not be written, and that what is finished is not lost."""
    return EvaluationError(
        f"cannot write to {path}: {error.strerror}; {finished} are done: when there is room, the "
        "same command goes on with the others"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvaluationError(f"{path} is not JSON ({error}): remove {path.parent}") from None
