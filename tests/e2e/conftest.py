"""A server in its own environment, and the dataset that the shipped recordings give."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER_BIN = Path(os.environ.get("HANDOVER_SERVER_ENV", ROOT / ".venv-server")) / "bin"


@pytest.fixture(scope="session")
def server_bin() -> Path:
    if not (SERVER_BIN / "handover").exists():
        pytest.skip(f"no server environment at {SERVER_BIN.parent}; `make env` makes it")
    return SERVER_BIN


@pytest.fixture(scope="session")
def dataset(server_bin, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("groot") / "dataset"
    source = ROOT / "tests/data/aloha_sim_transfer_cube"
    command = [server_bin / "handover", "convert", "--source", source, "--output", output]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return output


@pytest.fixture(scope="session")
def server_address(server_bin, tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    checkpoint = ROOT / "checkpoints/aloha-mini"
    command = [server_bin / "handover", "serve", "--checkpoint", checkpoint, "--port", "0"]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield wait_for_address(server, log)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=120) == 0, log.read_text()
    finally:
        server.kill()
        server.wait(timeout=60)


def wait_for_address(server: subprocess.Popen, log: Path, timeout_s: float = 120) -> str:
    return wait_for_line(server, log, r"^serving .* on (\S+)$", timeout_s)


def wait_for_line(server: subprocess.Popen, log: Path, pattern: str, timeout_s: float = 120) -> str:
    """Wait until a server's log has a line; gives the pattern's last group."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text(), re.MULTILINE)
        if found:
            return found.group(found.lastindex or 0)
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} after {timeout_s} s:\n{log.read_text()}")
