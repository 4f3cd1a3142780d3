"""Tasks on this machine's cores: one fresh process per worker, no thread, no shared state.

The parent knows which worker has which task. So a worker that dies costs its own task one attempt
and no other's, and a new one takes its place. No process is left behind: workers end with the
parent, however that ends.

Tasks and results cross the pipes as multiprocessing sends everything: pickled by one of our own
processes for another. Nothing that comes from a file or from the network is ever unpickled.
"""

import contextlib
import multiprocessing
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from handover_common.parallel.executor import MOST_ATTEMPTS, Outcome, Result, Task, WorkerLost
from handover_common.parallel.signals import ctrl_c_held_back

_GOODBYE_S = 5.0  # how long a worker that was told to stop may take


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection

    @classmethod
    def start(cls) -> "_Worker":
        # spawn: a fork would copy the parent's threads' locks (pyarrow and FFmpeg have both)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        with ctrl_c_held_back():
            process.start()
        theirs.close()
        return cls(process, ours)

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(_GOODBYE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(_GOODBYE_S)


class ProcessExecutor:
    """Runs tasks in `workers` processes, started when first needed and stopped at the end."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._idle: list[_Worker] = []

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        _stop_all(self._idle)
        self._idle = []

    def map_unordered(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Outcome[Task, Result]]:
        """See Executor.map_unordered."""
        again: deque[tuple[Task, int]] = deque()  # tasks of lost workers, with attempts so far
        fresh = ((task, 0) for task in tasks)
        busy: dict[Connection, tuple[_Worker, Task, int]] = {}
        finished: list[Outcome[Task, Result]] = []
        try:
            while True:
                while len(busy) < self.workers:
                    entry = again.popleft() if again else next(fresh, None)
                    if entry is None:
                        break
                    worker = self._idle.pop() if self._idle else _Worker.start()
                    busy[worker.pipe] = (worker, *entry)
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        worker.pipe.send((function, entry[0]))  # else seen as lost below
                yield from finished  # only now, so that no worker waits for the caller
                finished.clear()
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    assert isinstance(pipe, Connection)
                    worker, task, attempts = busy.pop(pipe)
                    try:
                        result, error = pipe.recv()
                    except (EOFError, ConnectionResetError):
                        worker.stop()
                        if attempts + 1 < MOST_ATTEMPTS:
                            again.append((task, attempts + 1))
                            continue
                        result, error = None, _lost(worker, task)
                    else:
                        self._idle.append(worker)
                    finished.append(Outcome(task, result, error))
        finally:
            _stop_all([worker for worker, _, _ in busy.values()])


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.stop()


def _lost(worker: _Worker, task: Any) -> WorkerLost:
    return WorkerLost(
        f"the worker process ended {MOST_ATTEMPTS} times (last: exit code "
        f"{worker.process.exitcode}) on the task {str(task)[:200]}; was memory short?"
    )


def _work(pipe: Connection) -> None:
    """Do one task after another until the parent closes the pipe."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        try:
            function, task = pipe.recv()
        except EOFError:
            return
        try:
            reply = pickle.dumps((function(task), None))
        except Exception as error:  # whatever it is, it is the task's outcome
            reply = _packed_error(error)
        pipe.send_bytes(reply)


def _packed_error(error: Exception) -> bytes:
    """Pack an error for the parent, as it is or, when it cannot travel, by its text."""
    try:
        packed = pickle.dumps((None, error))
        pickle.loads(packed)
    except Exception:  # any error of any class may fail here in any way
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return packed


def end_with_parent() -> None:
    """End this process when the one that started it has ended, however it did; for a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
