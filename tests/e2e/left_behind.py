"""Which processes are left of one that was started with a mark in its environment."""

import os
import time
from pathlib import Path


def marked(mark: str) -> dict[int, str]:
    """List the processes with a mark in their environment: {pid: command line}."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:  # a zombie has none
                    found[int(folder.name)] = command
        except OSError:
            continue  # it ended just now, or is another user's
    found.pop(os.getpid(), None)
    return found


def none_left(mark: str, within_s: float = 60) -> bool:
    """Wait until no process has the mark; False when some still has it after `within_s`."""
    deadline = time.monotonic() + within_s
    while marked(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
