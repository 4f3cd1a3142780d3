"""Ctrl-C reaches every process of a terminal's job at once; only the command itself answers it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker


@contextlib.contextmanager
def ctrl_c_held_back() -> Iterator[None]:
    """Start processes in this block: SIGINT is blocked in them for good, and here comes after it.

    A mask is inherited, so a worker has it from its first instruction on; Python's own start would
    otherwise print a traceback. A worker whose parent is interrupted in the middle of
    starting it, before it has sent what the worker is to do, would print one as well.
    """
    with _interrupt_postponed():
        # The first process to be spawned has this one started first, and multiprocessing then
        # unblocks SIGINT, whatever it was (CPython 3.11, multiprocessing/resource_tracker.py).
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _interrupt_postponed() -> Iterator[None]:
    """Raise KeyboardInterrupt after the block: a mask is a thread's, and others get the signal."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it is never raised here
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)
