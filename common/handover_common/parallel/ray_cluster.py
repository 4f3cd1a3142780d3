"""Tasks on a Ray cluster: the same functions, on every core of every machine of it.

The machines need the same packages and see the source under the same path; results come back to the
caller, who alone writes. A task whose worker or machine is lost is done again elsewhere.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from handover_common.errors import HandoverError, MissingExtra
from handover_common.parallel.executor import MOST_ATTEMPTS, Outcome, Result, Task, WorkerLost

_POLL_S = 1.0  # how often the cluster's size is looked at: machines come and go


class ClusterError(HandoverError):
    """The Ray cluster cannot be reached, or not any more."""


class RayExecutor:
    """Runs tasks on a cluster, one for each of its cores at a time."""

    def __init__(self, address: str, workers: int | None) -> None:
        """Join the cluster at `address`, to use all its cores or at most `workers` of them.

        Raises MissingExtra and ClusterError.
        """
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError:
            raise MissingExtra("ray", "cluster") from None
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as error:
            lines = str(error).strip().splitlines()
            reason = " ".join(dict.fromkeys((lines[0], lines[-1])))  # a traceback lies between
            raise ClusterError(f"no Ray cluster at {address!r}: {reason} (--cluster)") from None
        self._ray: Any = ray
        self._most = workers

    @property
    def workers(self) -> int:
        """The cores that may be used now."""
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(cores, self._most) if self._most else cores

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def map_unordered(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Outcome[Task, Result]]:
        """See Executor.map_unordered. Raises ClusterError when the cluster itself is lost."""
        remote = self._ray.remote(num_cpus=1, max_retries=MOST_ATTEMPTS - 1)(function)
        waiting = iter(tasks)
        running: dict[Any, Task] = {}
        exhausted = False
        try:
            while True:
                while not exhausted and len(running) < self.workers:
                    try:
                        task = next(waiting)
                    except StopIteration:
                        exhausted = True
                    else:
                        running[remote.remote(task)] = task
                if not running:
                    return
                done, _ = self._ray.wait(list(running), timeout=_POLL_S)
                for reference in done:
                    yield self._outcome(reference, running.pop(reference))
        except ConnectionError as error:
            running.clear()  # to cancel one now would start a cluster on this machine
            raise ClusterError(
                f"the Ray cluster was lost: {error} What is finished is kept, "
                "the same command goes on from it (--cluster)"
            ) from error
        finally:
            for reference in running:
                with contextlib.suppress(Exception):  # it may be gone with its machine
                    self._ray.cancel(reference, force=True)

    def _outcome(self, reference: Any, task: Task) -> Outcome[Task, Any]:
        errors = self._ray.exceptions
        try:
            return Outcome(task, self._ray.get(reference), None)
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            return Outcome(task, None, cause)
        except errors.RayError as error:
            lost = WorkerLost(
                f"the cluster lost the task {str(task)[:200]} {MOST_ATTEMPTS} times: {error}"
            )
            return Outcome(task, None, lost)
