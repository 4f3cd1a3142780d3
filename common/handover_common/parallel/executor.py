"""Interface behind which independent tasks run: on this machine's cores, or on a Ray cluster.

    with open_executor(workers=4, cluster=None) as executor:
        for outcome in executor.map_unordered(function, tasks):
            ...

`function` and the tasks are sent to the workers, so the function is one that a module defines.
Conversion, recording and rollouts all run through this.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from handover_common.errors import HandoverError

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_ATTEMPTS = 3  # a task that ends its worker this often is the reason for it


class WorkerLost(HandoverError):
    """The worker of a task died (killed, out of memory, machine gone) MOST_ATTEMPTS times."""


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """Outcome of a task: its result, or the error that its function raised."""

    task: Task
    result: Result | None
    error: Exception | None

    def unwrap(self) -> Result:
        """Return the result. Raises the task's error."""
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
        """Yield each task's outcome as soon as it exists, in any order.

        Tasks are taken as workers become free, so neither tasks nor results pile up. Leaving the
        iteration early stops what still runs.
        """
        ...
