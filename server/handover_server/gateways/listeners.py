"""The gateways' ports: which are wanted, and opening and closing them around the server's life."""

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handover_common import MissingExtra, host_port

from handover_server.errors import ServingError
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.inference.admission import Admission
from handover_server.security.tokens import TokenCheck

if TYPE_CHECKING:
    from handover_server.gateways.groot_server import GrootZmqServer
    from handover_server.gateways.openpi_server import OpenpiServer


@dataclass(frozen=True)
class GatewaySettings:
    """Ports of the protocols that are wanted: None for not at all, 0 lets the system choose."""

    host: str = "127.0.0.1"
    openpi_port: int | None = None
    groot_zmq_port: int | None = None
    adaptation: Adaptation = field(default_factory=Adaptation)

    def check_installed(self) -> None:
        """Raise MissingExtra where the packages of a wanted protocol are missing."""
        try:
            if self.openpi_port is not None:
                import websockets  # noqa: F401
            if self.groot_zmq_port is not None:
                import zmq  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "websockets", "gateways") from None


class Gateways:
    """The servers of the other protocols, beside the gRPC one and with the same intake."""

    def __init__(self, settings: GatewaySettings) -> None:
        settings.check_installed()
        self._settings = settings
        self._openpi: OpenpiServer | None = None
        self._groot: GrootZmqServer | None = None

    @property
    def openpi_port(self) -> int:
        """Where openpi's clients connect; 0 before that."""
        return self._openpi.port if self._openpi is not None else 0

    @property
    def groot_zmq_port(self) -> int:
        """Where Isaac-GR00T's clients connect; 0 before that."""
        return self._groot.port if self._groot is not None else 0

    def lines(self) -> list[str]:
        """What a person is told: which clients connect where."""
        named = (("openpi", self.openpi_port), ("Isaac-GR00T", self.groot_zmq_port))
        host = self._settings.host
        return [f"{name} clients on {host_port(host, port)}" for name, port in named if port]

    async def open(self, intake: Admission, tokens: TokenCheck, tls: ssl.SSLContext | None) -> None:
        """Listen on the ports that are wanted; raises ServingError where one cannot be had."""
        settings = self._settings
        port = settings.openpi_port
        try:
            if port is not None:
                from handover_server.gateways.openpi_server import OpenpiServer

                self._openpi = OpenpiServer(intake, tokens, settings.adaptation)
                await self._openpi.open(settings.host, port, tls)
            port = settings.groot_zmq_port
            if port is not None:
                from handover_server.gateways.groot_server import GrootZmqServer

                self._groot = GrootZmqServer(intake, tokens)
                await self._groot.open(settings.host, port)
        except OSError as error:
            where = host_port(settings.host, port or 0)
            raise ServingError(
                f"cannot listen on {where}: {error.strerror or error}; "
                "choose another port for the gateway or stop what uses it"
            ) from None

    def refuse(self) -> None:
        """Take no more clients; those that are here get their answers."""
        if self._openpi is not None:
            self._openpi.refuse()

    async def close(self) -> None:
        """Close the ports and every connection."""
        if self._openpi is not None:
            await self._openpi.close()
        if self._groot is not None:
            await self._groot.close()
