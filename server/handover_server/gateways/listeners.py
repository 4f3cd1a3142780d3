"""Gateway ports: settings, and opening and closing them with the server."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handover_common import MissingExtra, host_port

from handover_server.errors import ServingError
from handover_server.gateways.control_rate import check_rate
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.inference.admission import Admission
from handover_server.security.tokens import TokenCheck

if TYPE_CHECKING:
    from handover_server.gateways.groot_server import GrootZmqServer
    from handover_server.gateways.openpi_server import OpenpiServer


@dataclass(frozen=True)
class GatewaySettings:
    """Ports of the other protocols: None for none, 0 lets the system choose."""

    host: str = "127.0.0.1"
    openpi_port: int | None = None
    groot_zmq_port: int | None = None
    adaptation: Adaptation = field(default_factory=Adaptation)


class Gateways:
    """Servers of the other protocols, beside the gRPC one and with the same admission control."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Raise MissingExtra where the package of a wanted protocol is missing."""
        try:
            if settings.openpi_port is not None:
                import websockets  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "websockets", "gateways") from None
        self._settings = settings
        self.openpi: OpenpiServer | None = None
        self.groot: GrootZmqServer | None = None
        self.openpi_port = self.groot_zmq_port = 0  # until they are open

    def lines(self) -> list[str]:
        """Return a line for each open port: which clients connect where."""
        named = (("openpi", self.openpi_port), ("Isaac-GR00T", self.groot_zmq_port))
        host = self._settings.host
        return [f"{name} clients on {host_port(host, port)}" for name, port in named if port]

    async def open(
        self,
        admission: Admission,
        tokens: TokenCheck,
        tls: ssl.SSLContext | None,
        delivered: Callable[[str, int], None],
    ) -> None:
        """Listen on the wanted ports; raises ServingError where one cannot be used.

        delivered: called with a peer's name (connections.peers) and the size of each whole message
        """
        settings = self._settings
        port = settings.openpi_port
        try:
            if port is not None:
                from handover_server.gateways.openpi_server import OpenpiServer

                check_rate(admission.info.spec, settings.adaptation.rate_hz)
                self.openpi = OpenpiServer(admission, tokens, settings.adaptation, delivered)
                self.openpi_port = await self.openpi.open(settings.host, port, tls)
            port = settings.groot_zmq_port
            if port is not None:
                from handover_server.gateways.groot_server import GrootZmqServer

                self.groot = GrootZmqServer(admission, tokens, delivered)
                self.groot_zmq_port = await self.groot.open(settings.host, port)
        except OSError as error:
            where = host_port(settings.host, port or 0)
            raise ServingError(
                f"cannot listen on {where}: {error.strerror or error}; "
                "choose another port for the gateway or stop what uses it"
            ) from None

    def refuse(self) -> None:
        """Accept no more clients; those connected get their replies."""
        if self.openpi is not None:
            self.openpi.refuse()

    async def close(self) -> None:
        """Close the ports and every connection."""
        if self.openpi is not None:
            await self.openpi.close()
        if self.groot is not None:
            await self.groot.close()
