"""The seam behind which independent tasks run: on this machine's cores, or on a Ray cluster.

    with open_executor(workers=4, cluster=None) as executor:
        for outcome in executor.map_unordered(function, tasks):
            ...

`function` and the tasks are sent to the workers, so the function is one that a module defines.
Conversion, recording and rollouts all run through this.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from handover_common.errors import HandoverError, UsageError

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_ATTEMPTS = 3  # a task that ends its worker this often is the reason for it


class WorkerLost(HandoverError):
    """The worker of a task died (killed, out of memory, machine gone), as often as is bearable."""


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """What became of a task: its result, or the error that its function raised."""

    task: Task
    result: Result | None
    error: Exception | None

    def unwrap(self) -> Result:
        """Give the result. Raises the task's error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # None only if that is the result


class Executor(Protocol):
    """Runs a function on many tasks; a lost worker's task is done again by another."""

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    def map_unordered(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Outcome[Task, Result]]:
        """Give each task's outcome as soon as it is there, in any order.

        Tasks are taken as workers become free, so neither tasks nor results pile up. Leaving the
        iteration early stops what still runs.
        """
        ...


def open_executor(workers: int | None, cluster: str | None) -> AbstractContextManager[Executor]:
    """Choose where tasks run: `workers` local processes (None: one per core), or a Ray cluster.

    `cluster` is None, "auto" (the cluster this machine is part of) or "ray://HOST:PORT".
    Raises MissingExtra when Ray is wanted and not installed.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"expected at least 1 worker, got {workers} (--workers)")
    if cluster is not None:
        from handover_common.parallel.ray_cluster import RayExecutor

        return RayExecutor(cluster, workers)
    from handover_common.parallel.processes import ProcessExecutor

    return ProcessExecutor(workers or available_cores())


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
