"""Work folders: where a run's results grow, so that it can be killed at any point and taken up.

    .NAME.partial/
      lock         held by the one process that works here
      plan.json    what decides the results: another plan is refused
      …            what is finished, in files and folders of each kind of run

Once everything is finished, the results are moved to their place in one step. A run that ends
before anything is finished leaves nothing.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

from handover_common.errors import FileError
from handover_common.files import PARTIAL, write_json

PLAN = "plan.json"
LOCK = "lock"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # a full or broken disk

_Folder = TypeVar("_Folder", bound="WorkFolder")


def partial_folder(output: Path) -> Path:
    """The work folder of the results at `output`. Raises FileError for /."""
    if not output.name:
        raise FileError(f"{output} cannot be replaced: choose a folder in it (--output)")
    return output.with_name(f".{output.name}{PARTIAL}")


def check_new(output: Path) -> None:
    """Raise FileError when `output` exists: nothing there is ever written to."""
    if os.path.lexists(output):  # a link to nowhere too
        raise FileError(f"{output} exists already: choose another --output, or remove it")


def lock_file(path: Path) -> TextIO | None:
    """Lock a file, made with the folders above it; None while another process holds the lock.

    Closing the file, or the process's end, gives the lock back. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


def lock_work(output: Path) -> TextIO:
    """Make and lock the work folder of `output`. Raises FileError, also while it is locked."""
    path = partial_folder(output) / LOCK
    try:
        lock = lock_file(path)
    except OSError as error:
        raise FileError(
            f"cannot write beside {output}: {error.strerror} (--output)", error
        ) from error
    if lock is None:
        raise FileError(f"another process is writing to {output}; wait for it")
    return lock


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Read the plan of the run that works, or worked, in a folder; None where none is readable."""
    try:
        return json.loads((folder / PLAN).read_bytes())
    except (OSError, ValueError):
        return None


class WorkFolder(ABC):
    """The results of one run under way; holds the lock while it is open.

    Where the disk becomes full meanwhile, the with block raises FileError, which says what is kept.
    """

    unit = "episodes"  # what finished_count counts
    folders: tuple[str, ...] = ()  # for what is finished
    remedy = "remove it, or choose another --output"  # for an interrupted run of another plan

    def __init__(
        self,
        output: Path,
        plan: Mapping[str, Any],
        kind: str,
        *,
        replace: bool = False,
        start_over: bool = False,
    ) -> None:
        """Take up an interrupted run of the same plan, or start a new one.

        plan: what decides the results, as JSON; kind: of the run, for messages; replace: an
        existing output is none of this folder's business; start_over: throw away what a run of
        another plan has finished. Raises FileError when `output` exists, nothing can be written
        beside it, another process works there, or a run of another plan has finished something.
        """
        if not replace:
            check_new(output)
        self.output, self.path = output, partial_folder(output)
        self._lock = lock_work(output)
        try:
            self._take_up(json.loads(json.dumps(plan)), kind, start_over)
            self.prepare()
        except BaseException:
            self.close()
            raise

    def _take_up(self, plan: dict[str, Any], kind: str, start_over: bool) -> None:
        former = read_plan(self.path)
        change = self.find_change(former or {}, plan)
        if change is not None:
            if self.finished_count() and not start_over:
                raise FileError(
                    f"{self.path} holds {self.finished_count()} {self.unit} of an interrupted "
                    f"{kind} with another {change}: finish that, {self.remedy}"
                )
            self.clear()
        if former != plan:
            write_json(self.path / PLAN, plan)

    def find_change(self, former: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
        """Name the first thing in which a plan is not the former one; None: they are the same."""
        return None if former == plan else find_change(former, plan) or "plan"

    @abstractmethod
    def finished_count(self) -> int:
        """Count what is finished, from which the same command goes on."""

    def is_worth_keeping(self) -> bool:
        """Whether something is finished; a run that ends without leaves nothing."""
        return self.finished_count() > 0

    def prepare(self) -> None:
        """Make what the folder needs before its first result."""
        for name in self.folders:
            (self.path / name).mkdir(exist_ok=True)

    def clear(self) -> None:
        """Remove what a run of another plan has left."""
        for path in self.path.iterdir():
            if path.name != LOCK:
                remove(path)

    def fresh_folder(self, name: str) -> Path:
        """Make an empty folder in the work folder, in place of a former one."""
        shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / name).mkdir()
        return self.path / name

    def publish(self) -> None:
        """Move the whole folder to its place, without what only an unfinished run needs."""
        for leftover in (*self.path.rglob(f".*{PARTIAL}"), self.path / LOCK):
            leftover.unlink()
        for path in self.path.iterdir():
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        self.move(self.path)

    def move(self, results: Path) -> None:
        """Move results to their place in one step. Raises FileError where that is taken."""
        try:
            results.rename(self.output)
        except OSError as error:
            raise FileError(
                f"cannot move {results} to {self.output}: {error.strerror}", error
            ) from None

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def __enter__(self: _Folder) -> _Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        finished = self.finished_count() if self.path.exists() else 0
        if self.path.exists() and not self.is_worth_keeping():
            shutil.rmtree(self.path, ignore_errors=True)
        self.close()
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise FileError(
                f"cannot go on writing beside {self.output}: {error.strerror}; {finished} "
                f"{self.unit} are finished, the same command goes on from them",
                error,
            ) from error


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def find_change(former: Any, plan: Any, name: str = "") -> str | None:
    """Name the first difference of two plans with both values: "fps (20, now 30)"."""
    if not (isinstance(former, Mapping) and isinstance(plan, Mapping)):
        return None if former == plan else f"{name} ({_short(former)}, now {_short(plan)})"
    changes = (
        find_change(former.get(key), plan.get(key), f"{name}.{key}" if name else str(key))
        for key in dict.fromkeys((*former, *plan))
    )
    return next((change for change in changes if change is not None), None)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
