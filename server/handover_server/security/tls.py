"""TLS certificate of the server: from files to gRPC's and ssl's credentials, also renewed ones."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from handover_server.errors import ServingError
from handover_server.security.tokens import check_private

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the certificate chain, its key, and the authority of the clients' certificates."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raise ServingError unless the files are readable and belong together."""
        check_private(self.key, "key of --tls-key")
        self.context()

    def context(self) -> ssl.SSLContext:
        """Return the context for Python's own servers; raises ServingError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ServingError(
                f"--tls-cert {self.cert} and --tls-key {self.key} cannot be used: "
                f"{_reason(error)}; expected a PEM certificate and its own key, without passphrase"
            ) from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                raise ServingError(
                    f"--client-ca {self.client_ca} cannot be used: {_reason(error)}; "
                    "expected PEM certificates"
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def renewing_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context for asyncio's servers; each handshake uses the files as they are then.

    Raises ServingError. Files that cannot be used leave the certificate as it was.
    """
    latest = files.context()

    def use_latest(connection: ssl.SSLSocket | ssl.SSLObject, *_: object) -> None:
        nonlocal latest
        try:
            latest = files.context()
        except ServingError as error:
            logger.warning("the former certificate stays in use: %s", error)
        connection.context = latest

    context = files.context()
    context.sni_callback = use_latest  # called for every client hello, with or without a name
    return context


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return gRPC's credentials; raises ServingError. A renewed certificate needs no restart.

    gRPC asks before each handshake. Files that cannot be used at that moment (half of a renewal)
    leave the certificate as it was.
    """
    files.check()
    stamp, first = _stamp(files), _configuration(files)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal stamp
        try:
            now = _stamp(files)
            if now == stamp:
                return None
            stamp = now
            files.check()
            configuration = _configuration(files)
        except (ServingError, OSError) as error:
            logger.warning("the former certificate stays in use: %s", error)
            return None
        logger.info("a renewed certificate is in use: %s", files.cert)
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        first,
        renewed,  # type: ignore[arg-type]  # None is what gRPC documents for "as before"
        require_client_authentication=files.client_ca is not None,
    )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    ca = files.client_ca.read_bytes() if files.client_ca is not None else None
    pair = (files.key.read_bytes(), files.cert.read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)


def _stamp(files: TlsFiles) -> tuple[tuple[int, int], ...]:
    """Return what changes when a file is replaced, also behind links."""
    paths = (files.cert, files.key, *([files.client_ca] if files.client_ca else []))
    return tuple((path.stat().st_mtime_ns, path.stat().st_ino) for path in paths)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")  # or ssl would ask for it on the terminal


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
