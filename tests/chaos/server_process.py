"""`handover serve` as a process that a test may kill, freeze and start again on its port."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
HOST = Path(__file__).with_name("faulty_policy.py")
FAULTY = (str(HOST), "--policy", "hold")
SHIPPED = (
    "-m",
    "handover_server.serve.command",
    "--checkpoint",
    str(ROOT / "checkpoints/aloha-mini"),
)
READY_S = 120.0
_SERVING = re.compile(r"serving \S+ on (\S+:(\d+))\n")


class ServerProcess:
    """A server, by default with the faulty policy; a context manager that ends it."""

    def __init__(
        self, *flags: str, wrap: Sequence[str] = (), program: Sequence[str] = FAULTY
    ) -> None:
        """wrap: a command that ends by executing the one that follows it."""
        self._flags, self._wrap, self._program = flags, wrap, program
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        self.address = ""

    def start(self) -> None:
        """Start it, on its old port if it had one; returns once it serves."""
        flags = [*self._program, "--port", self._port, *self._flags]
        self._process = subprocess.Popen(
            [*self._wrap, sys.executable, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        found: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout, found), daemon=True).start()
        address = found.get(timeout=READY_S)
        assert address, "".join(self.log)
        self.address, self._port = address, address.rpartition(":")[2]

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; returns its exit status."""
        assert self._process is not None
        return self._process.wait(READY_S)

    def wait_for_lines(self, words: str, count: int = 1) -> None:
        """Wait until `count` lines of the log hold the words: what it says comes through a pipe."""
        deadline = time.monotonic() + READY_S
        while sum(words in line for line in list(self.log)) < count:
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.01)

    def __enter__(self) -> "ServerProcess":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _read(self, output: IO[str], found: "queue.Queue[str | None]") -> None:
        for line in output:
            self.log.append(line)
            if match := _SERVING.fullmatch(line):
                found.put(match[1])
        found.put(None)
