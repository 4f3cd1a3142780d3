"""openpi's websocket protocol: metadata on connect, then an observation in and actions out.

As openpi-client's WebsocketClientPolicy expects of its server (github.com/Physical-Intelligence/
openpi, packages/openpi-client); an error is a text frame of one line, which that client raises.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from handover_proto import InvalidRequest, NotAuthorised, PolicyError
from handover_proto.msgpack_wire import unpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from handover_server.connections.peers import peer_name
from handover_server.gateways.calls import infer_together, refusals_counted, unless_gone
from handover_server.gateways.openpi_messages import (
    Adaptation,
    actions,
    metadata,
    read_observation,
    reply,
)
from handover_server.inference.admission import Admission
from handover_server.logs import fields
from handover_server.requests.outcome import record_incident
from handover_server.requests.request import Lane
from handover_server.security.browsers import page_refusal
from handover_server.security.tokens import Identity, TokenCheck, bearer_token

_SCHEMES = ("api-key", "bearer")  # openpi-client says "Authorization: Api-Key KEY"
_CLOSE_S = 1.0  # for a client's closing handshake when the server stops
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013  # iana.org/assignments/websocket

_MAX_FRAGMENTS = 4096  # of a message; clients send one
_IGNORED = "an openpi client sends images that are no camera of the policy and are ignored: %s"
logger = logging.getLogger(__name__)

# The library would log a page for each peer that is no websocket.
_SILENT = logging.Logger("websockets", logging.CRITICAL)


class _Connection(ServerConnection):
    """A connection that is not read while its client does not read: pongs would pile up."""

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.recv_messages.paused:  # by its own bound on messages
            self.transport.resume_reading()


class OpenpiServer:
    """Serves openpi's clients."""

    def __init__(
        self,
        admission: Admission,
        tokens: TokenCheck,
        adaptation: Adaptation,
        delivered: Callable[[str, int], None],
    ) -> None:
        """delivered: called with a peer's name and the size of each whole message."""
        self._admission, self._delivered = admission, delivered
        self._tokens = tokens
        self._adaptation = adaptation
        self._server: Server | None = None
        self._closing = False

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen and return the port; raises OSError when it cannot be used."""
        self._server = await serve(
            self._converse,
            host,
            port,
            ssl=tls,
            process_request=self._admit,
            create_connection=_Connection,
            compression=None,
            max_size=self._admission.info.limits.max_message_bytes,
            max_queue=1,
            close_timeout=_CLOSE_S,
            server_header=None,
            logger=_SILENT,
        )
        return next(iter(self._server.sockets)).getsockname()[1]

    def refuse(self) -> None:
        """Accept no more clients; /healthz says draining."""
        self._closing = True

    async def close(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            try:
                await self._server.wait_closed()
            finally:  # where the time was too short for clients that do not read
                for connection in self._server.connections:
                    connection.transport.abort()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._closing:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "draining\n")
        if request.path == "/healthz":
            if self._admission.status != "serving":
                return connection.respond(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"{self._admission.status}\n"
                )
            return connection.respond(HTTPStatus.OK, "OK\n")
        headers = request.headers
        refusal = page_refusal(
            next(iter(headers.get_all("Origin")), None),
            headers.get("Host"),
            tokens=not self._tokens.is_open,
        )
        if refusal is not None:
            self._admission.observer.refused("web_page")
            return connection.respond(HTTPStatus.FORBIDDEN, f"{refusal}\n")
        try:
            self._client(connection, request)
        except NotAuthorised as error:
            self._admission.observer.refused("unauthenticated")
            return connection.respond(HTTPStatus.UNAUTHORIZED, f"{error}\n")
        return None

    def _client(self, connection: ServerConnection, request: Request) -> Identity:
        return self._tokens.identify(
            _token(request.headers.get("Authorization")),
            peer_name("websocket", connection.remote_address),
        )

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None, "the handshake is done"
        try:
            client = self._client(connection, connection.request)
            with self._admission.stream(client) as lane:
                await connection.send(metadata(self._admission.info, self._adaptation))
                await self._answer_all(connection, connection.request, lane)
        except ConnectionClosed:
            return
        except NotAuthorised as error:
            self._admission.observer.refused("unauthenticated")
            await connection.close(_POLICY_VIOLATION, str(error)[:100])
        except PolicyError as error:
            await connection.close(_TRY_AGAIN_LATER, str(error)[:100])
        except Exception as error:  # the process's edge: the library would send its own text
            failure = record_incident("a websocket failed", error)
            await connection.close(1011, str(failure)[:100])

    async def _answer_all(self, connection: ServerConnection, request: Request, lane: Lane) -> None:
        """Answer until the client leaves; raises NotAuthorised once its token is revoked."""
        peer = peer_name("websocket", connection.remote_address)
        gone = asyncio.create_task(connection.wait_closed())
        previous_ms, told = None, set[str]()
        try:
            while True:
                data = await _receive(connection)
                size = len(data)
                self._delivered(peer, size)
                self._client(connection, request)
                began = time.perf_counter()
                answering = asyncio.create_task(self._answer(data, lane, previous_ms, told))
                del data  # an idle connection holds no image
                try:
                    answer = await unless_gone(answering, gone)
                except PolicyError as error:
                    refused = isinstance(error, InvalidRequest)
                    await self._admission.paces.keep(lane.client, size, refused)
                    await connection.send(str(error))
                    continue
                except Exception as error:  # an unforeseen error does not end the connection
                    await connection.send(str(record_incident("a request failed", error)))
                    continue
                if answer is None:
                    return
                await self._admission.paces.keep(lane.client, size)
                await connection.send(answer)
                previous_ms = (time.perf_counter() - began) * 1e3
        finally:
            gone.cancel()

    async def _answer(
        self, data: bytes | str, lane: Lane, previous_ms: float | None, told: set[str]
    ) -> bytes:
        """Answer one message; told: the ignored images that this connection's log has named."""
        began = time.perf_counter()
        if isinstance(data, str):
            raise InvalidRequest("message", "a binary frame of msgpack", "a text frame")
        spec = self._admission.info.spec
        with refusals_counted(self._admission):
            read = read_observation(unpack(data), spec, self._adaptation)
        if read.ignored and not told:
            told.update(read.ignored)
            logger.warning(_IGNORED, f"{read.ignored}"[:200], extra=fields(client=lane.client.name))
        (answer,) = await infer_together(self._admission, [read.request], [lane])
        rows = actions(answer.output, read.is_joints, spec, self._adaptation)
        infer_ms = (time.perf_counter() - began) * 1e3
        return reply(rows, answer, infer_ms, previous_ms, read.ignored)


async def _receive(connection: ServerConnection) -> bytes | str:
    """Return the next message; its fragments are few, for an empty one takes memory too."""
    fragments: list[Any] = []
    async for fragment in connection.recv_streaming():
        fragments.append(fragment)
        if len(fragments) > _MAX_FRAGMENTS:
            await connection.close(_POLICY_VIOLATION, f"more than {_MAX_FRAGMENTS} fragments")
    return fragments[0] if len(fragments) == 1 else fragments[0][:0].join(fragments)


def _token(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return bearer_token(f"Bearer {token}") if scheme.lower() in _SCHEMES else None
