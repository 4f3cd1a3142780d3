"""Bytes to a server and back over TCP, with or without TLS; every wait has an end."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable

from handover_common import UsageError
from handover_proto import DeadlinePassed, PolicyError, ServerUnavailable

from handover_client.connection.security import ChannelSecurity
from handover_client.errors import UntrustedServer

_PIECE = 1 << 20  # bytes read at a time: memory grows with what comes, not with what is claimed


class Deadline:
    """The end of an exchange with the server at an address."""

    def __init__(self, address: str, seconds: float) -> None:
        self.address, self._seconds = address, seconds
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds until the end; raises DeadlinePassed after it."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise self.passed()
        return left_s

    def passed(self) -> DeadlinePassed:
        """The error of an exchange that took too long."""
        return DeadlinePassed(
            f"the server at {self.address} did not answer in time ({self._seconds:g} s)"
        )

    def translated(self, error: OSError) -> PolicyError:
        """The contract's error for one of a socket."""
        if isinstance(error, TimeoutError):
            return self.passed()
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "verify_message", "") or error.reason or "it hung up"
            return UntrustedServer(
                f"TLS with the server at {self.address} fails ({reason}): --tls-ca has to hold its "
                "authority's certificate, which names the server"
            )
        return ServerUnavailable(
            f"no policy server answers at {self.address} ({error.strerror or error}); check the "
            "address, that the server is running, and any firewalls between"
        )


class Duplex:
    """A connection; raises DeadlinePassed, ServerUnavailable, UntrustedServer."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, deadline: Deadline
    ) -> None:
        """Connect."""
        try:
            self._socket = socket.create_connection((host, port), deadline.left_s())
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if tls is not None:
                self._socket.settimeout(deadline.left_s())
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
        except OSError as error:
            raise deadline.translated(error) from None

    def send(self, parts: Iterable[bytes], deadline: Deadline) -> None:
        """Send all parts."""
        try:
            for part in parts:
                self._socket.settimeout(deadline.left_s())
                self._socket.sendall(part)
        except OSError as error:
            raise deadline.translated(error) from None

    def read(self, count: int, deadline: Deadline) -> bytes:
        """Return exactly so many bytes; the caller has bounded them."""
        came = bytearray()
        try:
            while len(came) < count:
                self._socket.settimeout(deadline.left_s())
                piece = self._socket.recv(min(count - len(came), _PIECE))
                if not piece:
                    raise ConnectionError("the server hung up")
                came += piece
        except OSError as error:
            raise deadline.translated(error) from None
        return bytes(came)

    def close(self) -> None:
        """Hang up, also on a thread that waits."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def tls_context(security: ChannelSecurity) -> ssl.SSLContext | None:
    """Return the settings of TLS; None for an unencrypted connection."""
    if not security.tls:
        return None
    if security.client_cert is not None:
        raise UsageError("--client-cert is for Handover's own protocol, not for openpi://")
    context = ssl.create_default_context()
    if security.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=security.ca.decode("ascii", "replace"))
        except ssl.SSLError as error:
            raise UsageError(f"--tls-ca holds no certificate to go by: {error.reason}") from None
    return context
