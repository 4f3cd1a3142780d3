"""Policy servers in processes of their own, with nginx before them; for replicas.py."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_READY_S = 120.0


def make_secrets(folder: Path) -> Path:
    """Make a certificate and a token as the documentation says; returns their folder."""
    secrets = folder / "secrets"
    subprocess.run(
        [ROOT / "server/make_secrets.sh"],
        env={**os.environ, "HANDOVER_SECRETS": str(secrets)},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    return secrets


class Replica:
    """One `handover serve`, which can be killed and started again on its port."""

    def __init__(self, flags: tuple[str, ...], secrets: Path, log: Path) -> None:
        self._flags, self._secrets, self._log = flags, secrets, log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, without waiting."""
        secrets = self._secrets
        security = (
            *("--tls-cert", secrets / "server.pem", "--tls-key", secrets / "server.key"),
            *("--token-file", secrets / "token"),
        )
        command = [sys.executable, "-m", "handover_server.serve.command", "--port", str(self.port)]
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [*command, *security, *self._flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def wait(self) -> str:
        """Wait until it serves; returns its address."""
        end_s = time.monotonic() + _READY_S
        while time.monotonic() < end_s and self._process is not None:
            found = re.search(r"^serving .* on \S+:(\d+)$", self._log.read_text(), re.MULTILINE)
            if found:
                self.port = int(found[1])
                return f"{HOST}:{self.port}"
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"a server did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End it as a crash or the kernel would: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


class Nginx:
    """server/nginx.conf as it is, but for the addresses and the files; a context manager."""

    def __init__(
        self, program: str, port: int, servers: list[str], secrets: Path, folder: Path
    ) -> None:
        self.address = f"{HOST}:{port}"
        self._program, self._folder = program, folder
        self._conf = folder / "nginx.conf"
        text = (ROOT / "server/nginx.conf").read_text()
        for name, server in zip(("10.0.0.11", "10.0.0.12", "10.0.0.13"), servers, strict=True):
            text = text.replace(f"{name}:50051", server)
        text = text.replace("listen 0.0.0.0:50051", f"listen {self.address}")
        text = text.replace("/etc/handover/", f"{secrets}/")
        # what else nginx would write outside of its folder
        scratch = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("http {\n", f"http {{\n{scratch}", 1)
        # one process, in the foreground
        text = f"daemon off;\npid {folder}/nginx.pid;\n" + text.replace(
            "worker_processes auto;", "master_process off;"
        )
        self._conf.write_text(text)

    def __enter__(self) -> "Nginx":
        command = [self._program, "-c", str(self._conf), "-e", str(self._folder / "error.log")]
        subprocess.run([*command, "-t", "-q"], check=True, timeout=30)
        self._process = subprocess.Popen(command)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
