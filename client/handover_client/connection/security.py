"""Security of a client's connection: TLS and a bearer token."""

from dataclasses import dataclass, field

import grpc
from handover_common import UsageError, is_loopback


@dataclass(frozen=True)
class ChannelSecurity:
    """Protection of a connection: by default none, which is for this machine alone.

    tls: encrypt, and check the server's certificate
    ca: PEM certificates of the authority that signed it; None for the public authorities
    client_cert, client_key: PEM, for a server that requires client certificates
    token: for a server that requires one
    """

    tls: bool = False
    ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def check(self, address: str) -> None:
        """Raise UsageError where a token would cross the network unencrypted, or cannot be sent."""
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise UsageError(
                "the token has characters that no header carries, such as a line's end: expected "
                "printable ASCII, as in the server's token file (strip() it)"
            )
        hosts = [part.rpartition(":")[0] for part in address.split(",")]
        if self.token is not None and not self.tls and not all(map(is_loopback, hosts)):
            raise UsageError(
                f"the token would go to {address} unencrypted; encrypt the connection (--tls-ca "
                "FILE, or --tls), or omit the token (--token-file, HANDOVER_TOKEN)"
            )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return gRPC's credentials; None for an unencrypted connection."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.ca, self.client_key, self.client_cert)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)


UNPROTECTED = ChannelSecurity()
