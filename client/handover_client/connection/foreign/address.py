"""Addresses of policy servers: HOST:PORT for Handover's own, SCHEME://HOST:PORT for others."""

from dataclasses import dataclass

from handover_common import UsageError

from handover_client.connection.channel import check_address

_SCHEMES = ("openpi", "groot")


@dataclass(frozen=True)
class ServerAddress:
    """Address of a server, taken apart; scheme: empty for Handover's own protocol."""

    text: str
    scheme: str
    place: str  # HOST:PORT

    @classmethod
    def parse(cls, text: str) -> "ServerAddress":
        """Read an address; raises UsageError for another form or protocol."""
        scheme, separator, place = text.rpartition("://")
        if not separator:
            return cls(text, "", check_address(text))
        if scheme not in _SCHEMES:
            raise UsageError(
                f"server address {text!r}: expected HOST:PORT, openpi://HOST:PORT (openpi) or "
                "groot://HOST:PORT (Isaac-GR00T)"
            )
        if "," in place:
            raise UsageError(
                f"server address {text!r}: only Handover's own protocol takes several replicas"
            )
        return cls(text, scheme, check_address(place))

    @property
    def host_port(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.place.rpartition(":")
        return host.strip("[]"), int(port)
