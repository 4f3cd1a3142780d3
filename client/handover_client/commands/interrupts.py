"""Ctrl-C that would be lost: in an import, or in a callback, where exceptions are dropped.

Some packages catch everything while they are imported (pyarrow.dataset does), importlib has a
callback on each module's lock, and Python drops what callbacks raise. A command that is interrupted
there would go on as if nothing had been.
"""

import signal
import sys
import time
from types import FrameType
from typing import Any

_AGAIN_S = 0.05
_LONGEST_IMPORT_S = 10.0  # beyond it an import is interrupted all the same


def keep_interrupts() -> None:
    """Interrupt this thread, the main one, after an import and not in it, and never in vain."""
    first_s: list[float] = []  # when the interrupt came that still waits for an import

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _is_import(frame):
            first_s.append(time.monotonic())
            if first_s[-1] - first_s[0] < _LONGEST_IMPORT_S:
                _interrupt_again()
                return
        first_s.clear()
        raise KeyboardInterrupt

    former = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            _interrupt_again()
        else:
            former(ignored)

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = hook


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _interrupt_again() -> None:
    import threading

    main = threading.main_thread().ident
    assert main is not None, "the main thread runs"
    # later and from another thread: an interrupt inside the hook would be dropped like the first
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
    again.daemon = True
    again.start()
