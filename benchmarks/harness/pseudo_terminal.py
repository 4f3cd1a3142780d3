"""A command in a terminal of its own, whose keys a program presses and whose screen it reads."""

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

END_S = 60.0


class PseudoTerminal:
    """A command at a terminal; a context manager that ends it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it as the terminal's foreground process, as a shell does."""
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, b"\x28\x00\x40\x01\x00\x00\x00\x00")  # 40 x 320

        def take_the_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=take_the_terminal,
        )
        os.close(terminal)
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        """All that was written so far."""
        return "".join(self._seen)

    def wait_for(self, words: str, timeout_s: float, after: int = 0) -> int:
        """Wait until words are written after a place of the screen; returns where they end."""
        deadline = time.monotonic() + timeout_s
        while (place := self.screen.find(words, after)) < 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"no {words!r} on the screen:\n{self.screen[-4000:]}")
            time.sleep(0.02)
        return place + len(words)

    def press(self, keys: str) -> None:
        """Press keys, one after another."""
        os.write(self._master, keys.encode())

    def hang_up(self) -> None:
        """Close the terminal, as a window that is closed or a network that is lost."""
        master, self._master = self._master, -1
        os.close(master)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns its exit status, or minus the signal that ended it."""
        return self.process.wait(timeout_s)

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(END_S)
        self._reader.join(1.0)
        if self._master >= 0:
            self.hang_up()

    def _read(self) -> None:
        master = self._master
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(master, 65536):
                self._seen.append(data.decode(errors="replace"))
