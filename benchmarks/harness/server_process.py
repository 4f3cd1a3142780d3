"""A server that a benchmark starts, asks and ends."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

READY_S = 120.0
END_S = 60.0


@dataclass(frozen=True)
class ServerProcess:
    """A server that answers."""

    address: str
    """What its first line ends with: HOST:PORT, or a port alone"""
    pid: int


@contextmanager
def server_process(
    *command: str, quiet: bool = False, ready_s: float = READY_S, **environment: str
) -> Iterator[ServerProcess]:
    """Run a server that prints a line with its address once it answers; SystemExit without it.

    quiet: leave its messages out; ready_s: within which the line has to come
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    too_late = threading.Timer(ready_s, process.kill)
    too_late.start()
    try:
        words = process.stdout.readline().split()
        too_late.cancel()
        if not words:
            raise SystemExit(f"{' '.join(command)}: the server did not start")
        yield ServerProcess(words[-1], process.pid)
    finally:
        too_late.cancel()
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
