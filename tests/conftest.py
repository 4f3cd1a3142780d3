"""What holds for every test, and certificates for those that encrypt.

No property is judged by how fast the machine was, or by what terminal it was started from.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "handover",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("handover")

# rich would colour what is captured, or break its lines elsewhere
for _name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# Who runs the tests in the background may have these ignored, and programs inherit what is ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)  # the default again in what is started

_HERE = "DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Authority:
    """Signs certificates with the openssl program, as docs/serving.md does."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def make(self) -> None:
        self._openssl(
            *("req", "-x509", "-days", "2", "-subj", "/CN=handover test authority"),
            *("-addext", "keyUsage=critical,keyCertSign", *_new_key("ca.key"), "-out", "ca.pem"),
        )

    def sign(self, name: str, alternatives: str = _HERE, days: int = 2) -> tuple[Path, Path]:
        """Make a key and a certificate; returns the certificate's and the key's file."""
        (self.folder / "san").write_text(f"subjectAltName={alternatives}")
        request = ("req", "-subj", f"/CN={name}", *_new_key(f"{name}.key"), "-out", f"{name}.csr")
        self._openssl(*request)
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", str(days), "-extfile", "san", "-out", f"{name}.pem"),
        )
        (self.folder / f"{name}.key").chmod(0o600)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=180
        )


def _new_key(name: str) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", name)


@pytest.fixture(scope="session")
def new_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    def make() -> Authority:
        authority = Authority(tmp_path_factory.mktemp("authority"))
        authority.make()
        return authority

    return make


@pytest.fixture(scope="session")
def authority(new_authority: Callable[[], Authority]) -> Authority:
    return new_authority()
