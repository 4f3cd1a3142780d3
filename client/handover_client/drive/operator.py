"""Operators: a person at the keyboard, or on a simulated robot none, who starts and judges."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from typing import Literal, Protocol

from handover_common import UsageError

from handover_client.drive.robots.interface import Scene

_CHARACTERS = 6  # their place in what tcgetattr returns
Phase = Literal["moving", "waiting", "running", "judging"]
Key = Literal["start_or_end", "stop", "success", "failure", "take_over", "quit"]

_KEYS: dict[str, Key] = {
    "\n": "start_or_end",
    "\r": "start_or_end",
    " ": "stop",
    "\x1a": "stop",  # Ctrl-Z: a suspended program would leave the robot in motion
    "s": "success",
    "f": "failure",
    "t": "take_over",
    "q": "quit",
}
KEYS_HELP = (
    "enter starts and ends an episode, space stops at once, s success, f failure, "
    "t you drive or the policy, q quits"
)


class Operator(Protocol):
    """Who starts, stops and judges episodes."""

    def keys(self, phase: Phase, seconds: float) -> list[Key]:
        """What was pressed since the last call; seconds: for how long the episode is running."""
        ...


class Keyboard:
    """The keys of the terminal that the command runs in; a context manager that restores it."""

    def __init__(self) -> None:
        """Raise UsageError where there is no terminal."""
        if not sys.stdin.isatty():
            raise UsageError(
                "there is no keyboard here: run handover drive in a terminal, or on a simulated "
                "robot with --operator auto"
            )
        self._file = sys.stdin.fileno()

    def keys(self, phase: Phase, seconds: float) -> list[Key]:
        """Return the keys that mean something, in their order."""
        letters = b""
        while select.select([self._file], [], [], 0)[0]:
            # not sys.stdin: it would take all that is there, and give one letter
            try:
                came = os.read(self._file, 64)
            except OSError:  # the terminal was closed
                came = b""
            if not came:
                return ["stop", "quit"]
            letters += came
        words = letters.decode(errors="replace").lower()
        return [_KEYS[letter] for letter in words if letter in _KEYS]

    def __enter__(self) -> "Keyboard":
        self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        mode = termios.tcgetattr(self._file)
        mode[_CHARACTERS][termios.VSUSP] = bytes([os.fpathconf(self._file, "PC_VDISABLE")])
        termios.tcsetattr(self._file, termios.TCSADRAIN, mode)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)


class Automatic:
    """Starts every episode, and judges it as the scene does: for simulated robots alone.

    take_over_s: when the scripted expert takes over from the policy, in every episode.
    """

    def __init__(self, robot: Scene, max_seconds: float, take_over_s: float | None) -> None:
        self._robot, self._max_seconds, self._take_over_s = robot, max_seconds, take_over_s
        self._done_since_s: float | None = None
        self._has_taken_over = False

    def keys(self, phase: Phase, seconds: float) -> list[Key]:
        """Start; hand over when it is time; end half a second after success, or at the end."""
        if phase != "running":
            self._done_since_s, self._has_taken_over = None, False
            return ["start_or_end"] if phase == "waiting" else []
        due_s = None if self._has_taken_over else self._take_over_s
        if due_s is not None and seconds >= due_s:
            self._has_taken_over = True
            return ["take_over"]
        now_s = time.monotonic()
        if not self._robot.is_done():
            self._done_since_s = None
        elif self._done_since_s is None:
            self._done_since_s = now_s
        elif now_s - self._done_since_s > 0.2:
            return ["success"]
        return ["failure"] if seconds >= self._max_seconds else []

    def __enter__(self) -> "Automatic":
        return self

    def __exit__(self, *_: object) -> None:
        pass
