"""Ctrl-C that Python would lose: one that falls into a callback, as while modules are imported."""

import sys
from typing import Any

_AGAIN_S = 0.05


def keep_interrupts() -> None:
    """Interrupt the main thread once more where Python can only say "Exception ignored in …".

    importlib has a callback on every module's lock, so a command that is interrupted while it still
    imports would now and then go on as if nothing had been.
    """
    former = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            _interrupt_again()
        else:
            former(ignored)

    sys.unraisablehook = hook


def _interrupt_again() -> None:
    import signal
    import threading

    main = threading.main_thread().ident
    assert main is not None, "the main thread runs"
    # later and from another thread: an interrupt inside the hook would be ignored like the first
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
    again.daemon = True
    again.start()
