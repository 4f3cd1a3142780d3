"""What a client shows and checks when it connects: TLS and a bearer token."""

from dataclasses import dataclass, field

import grpc
from handover_common import UsageError, is_loopback


@dataclass(frozen=True)
class ChannelSecurity:
    """How a connection is protected: by default not at all, which is for this machine alone.

    tls: encrypt, and check the server's certificate
    ca: PEM certificates of who signed it; None for the public authorities
    client_cert, client_key: PEM, for a server that wants a certificate of its clients
    token: for a server that wants one
    """

    tls: bool = False
    ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def check(self, address: str) -> None:
        """Raise UsageError where a token would go over the network for all to read."""
        hosts = [part.rpartition(":")[0] for part in address.split(",")]
        if self.token is not None and not self.tls and not all(map(is_loopback, hosts)):
            raise UsageError(
                f"the token would go to {address} unencrypted; encrypt the connection (--tls-ca "
                "FILE, or --tls), or give no token (--token-file, HANDOVER_TOKEN)"
            )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Make gRPC's credentials; None for an unencrypted connection."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.ca, self.client_key, self.client_cert)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Give what goes with every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)


UNPROTECTED = ChannelSecurity()
