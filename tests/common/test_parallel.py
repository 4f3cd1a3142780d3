"""Tasks run in processes: every outcome comes, lost workers are replaced, none is left over."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
from handover_common.errors import HandoverError, MissingExtra, UsageError
from handover_common.parallel import WorkerLost, open_executor
from handover_common.parallel.signals import ctrl_c_held_back


def square(number):
    return number * number


def fail_on_three(number):
    if number == 3:
        raise ValueError("three")
    return number


def die_once(folder):
    """End this worker the first time, as the kernel does when memory is short."""
    mark = folder / "tried"
    if not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_on_three(number):
    if number == 3:
        os._exit(7)
    return number


class Untransportable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first}, {second}")


def fail_untransportably(_):
    raise Untransportable("one", "two")


def own_process(_):
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_has_its_outcome(workers):
    with open_executor(workers, None) as executor:
        outcomes = list(executor.map_unordered(square, range(20)))
    assert sorted((o.task, o.unwrap()) for o in outcomes) == [(n, n * n) for n in range(20)]


def test_an_error_is_its_own_tasks_alone():
    with open_executor(2, None) as executor:
        outcomes = {o.task: o for o in executor.map_unordered(fail_on_three, range(6))}
    with pytest.raises(ValueError, match="three"):
        outcomes[3].unwrap()
    assert [outcomes[n].unwrap() for n in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]


def test_an_error_that_cannot_travel_comes_as_its_text():
    with open_executor(1, None) as executor:
        (outcome,) = executor.map_unordered(fail_untransportably, [0])
    assert "Untransportable: one, two" in str(outcome.error)


def test_a_lost_workers_task_is_done_again(tmp_path):
    with open_executor(1, None) as executor:
        (outcome,) = executor.map_unordered(die_once, [tmp_path])
    assert outcome.unwrap() == "done"


def test_a_task_that_kills_its_workers_is_given_up_and_the_others_are_not():
    with open_executor(2, None) as executor:
        outcomes = {o.task: o for o in executor.map_unordered(die_on_three, range(6))}
    assert isinstance(outcomes[3].error, WorkerLost)
    assert "exit code 7" in str(outcomes[3].error)
    assert [outcomes[n].unwrap() for n in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]


def test_workers_are_kept_for_the_next_tasks_and_gone_at_the_end():
    with open_executor(1, None) as executor:
        first = [o.unwrap() for o in executor.map_unordered(own_process, range(3))]
        second = [o.unwrap() for o in executor.map_unordered(own_process, range(3))]
    assert len(set(first + second)) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(first[0], 0)


FIRST_WORKER_OF_A_PROCESS = """
import signal
from functools import partial
from handover_common.parallel import open_executor
with open_executor(2, None) as executor:
    blocked = partial(signal.pthread_sigmask, signal.SIG_BLOCK)
    print([outcome.unwrap() for outcome in executor.map_unordered(blocked, [(), (), ()])])
print(blocked(()))
"""


def test_ctrl_c_is_the_parents_alone_also_while_the_first_worker_starts():
    # in a process of its own: multiprocessing starts more than a worker with the first one
    command = [sys.executable, "-c", FIRST_WORKER_OF_A_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    workers, parent = done.stdout.splitlines()
    assert workers.count("SIGINT") == 3
    assert parent == "set()"


def test_leaving_early_ends_what_still_runs():
    started = time.monotonic()
    with open_executor(2, None) as executor:
        outcomes = executor.map_unordered(own_then_sleep, [0, 600])
        worker = next(outcomes).unwrap()
        outcomes.close()
        assert worker != os.getpid()
    assert time.monotonic() - started < 60


def own_then_sleep(duration_s):
    time.sleep(duration_s)
    return os.getpid()


def test_tasks_are_taken_only_as_workers_become_free():
    taken = []

    def tasks():
        for number in range(10):
            taken.append(number)
            yield number

    with open_executor(2, None) as executor:
        outcomes = executor.map_unordered(square, tasks())
        next(outcomes)
        assert len(taken) <= 4
        outcomes.close()


def test_no_workers_is_a_usage_error():
    with pytest.raises(UsageError, match="at least 1 worker"):
        open_executor(0, None)


def test_a_missing_ray_is_told_by_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"'cluster'; run pip install -e \"\.\[cluster\]\""):
        open_executor(None, "auto")


def lose_the_cluster(*_, **__):
    raise ConnectionError("Client is shutting down.")


def test_a_cluster_that_is_lost_is_one_clear_line(monkeypatch):
    cancelled = []
    ray = SimpleNamespace(
        init=lambda **_: None,
        shutdown=lambda: None,
        cluster_resources=lambda: {"CPU": 1},
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda task: task),
        wait=lose_the_cluster,
        cancel=cancelled.append,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    with (
        open_executor(None, "auto") as executor,
        pytest.raises(HandoverError, match="cluster was lost: Client is shutting"),
    ):
        list(executor.map_unordered(square, [3]))
    assert not cancelled  # Ray would start a cluster here for that


def start_slowly(started, interrupt):
    with ctrl_c_held_back():
        interrupt()
        started.append(True)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this thread", "another thread"])
def test_ctrl_c_while_a_process_starts_comes_once_it_has_started(elsewhere):
    started, interrupt = [], partial(signal.raise_signal, signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread is there before the signal is held back
        comes = (lambda: pool.submit(interrupt).result()) if elsewhere else interrupt
        with pytest.raises(KeyboardInterrupt):
            start_slowly(started, comes)
    assert started
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
