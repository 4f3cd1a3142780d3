"""A policy server in a process and an environment of its own, which a test may kill."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
SERVER_PYTHON = Path(os.environ.get("HANDOVER_SERVER_ENV", ROOT / ".venv-server")) / "bin/python"
_READY_S = 120.0


def source_environment() -> dict[str, str]:
    """This process's environment, with the packages of this checkout first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / role) for role in ROLES)}


class ServerProcess:
    """`handover serve` with the given flags; `start` does not wait until it is ready."""

    def __init__(self, *flags: str | Path, log: Path) -> None:
        if not SERVER_PYTHON.exists():
            pytest.skip(f"no server environment at {SERVER_PYTHON.parents[1]}; `make env` makes it")
        self._flags, self._log = flags, log
        self._process: subprocess.Popen | None = None
        self.port = 0

    def start(self) -> None:
        command = [
            SERVER_PYTHON,
            "-m",
            "handover_client.cli",
            "serve",
            "--port",
            str(self.port),
        ]
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, *self._flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=source_environment(),
            )

    def wait(self) -> str:
        """Wait until it serves; returns its address."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            found = re.search(r"^serving .* on (\S+:(\d+))$", self._log.read_text(), re.MULTILINE)
            if found:
                self.port = int(found[2])
                return found[1]
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"not serving after {_READY_S} s:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
