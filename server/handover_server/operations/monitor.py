"""Monitor port: /metrics for Prometheus and /healthz for probes.

It has an event loop and a thread of its own, so that it answers while the server's event loop is
busy, and a scrape delays no request. No connection needs a thread: it also answers where the
system gives out none.
"""

import asyncio
import contextlib
import dataclasses
import http.client
import io
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from handover_common import host_port
from handover_proto import NotAuthorised

from handover_server.errors import ServingError
from handover_server.security.browsers import page_refusal
from handover_server.security.tls import TlsFiles, renewing_context
from handover_server.security.tokens import TokenCheck, bearer_token

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0  # for a whole request and its reply, a TLS handshake included
MOST_CONNECTIONS = 64  # a further one takes the place of the oldest, which is slow or silent
_HEAD_BYTES = 16 * 1024
_NO_FILES_PAUSE_S = 0.2  # before the next accept where the process has no file descriptor left
_CLOSE_S = 1.0
_TEXT = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

_Reply = tuple[int, str, bytes]  # status, content type, body


def open_monitor(
    address: tuple[str, int],
    status: Callable[[], str],
    exposition: Callable[[], bytes],
    tokens: TokenCheck,
    tls: TlsFiles | None,
) -> "Monitor":
    """Open the port for metrics and health, and log its address; raises ServingError."""
    # no certificate is asked of a client here: probes have none
    context = None if tls is None else renewing_context(dataclasses.replace(tls, client_ca=None))
    monitor = Monitor(address, status, exposition, tokens, context)
    scheme = "http" if tls is None else "https"
    logger.info("metrics and health: %s://%s", scheme, host_port(address[0], monitor.port))
    return monitor


class Monitor:
    """HTTP server that runs until it is closed.

    status: one word for the server's state; only "serving" is healthy
    exposition: returns the metrics in Prometheus's text format
    tokens: required for /metrics; /healthz tells one word and is open
    tls: encrypts every connection (tls.renewing_context)
    """

    def __init__(
        self,
        address: tuple[str, int],
        status: Callable[[], str],
        exposition: Callable[[], bytes],
        tokens: TokenCheck,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raise ServingError when the address cannot be used."""
        self._status, self._exposition, self._tokens = status, exposition, tokens
        self._tls = tls
        self._open: dict[asyncio.Task[None], None] = {}  # oldest first
        try:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self._listener = socket.create_server(address, family=family, backlog=128)
        except OSError as error:
            raise ServingError(
                f"cannot listen on {host_port(*address)} for metrics: {error.strerror or error}; "
                "choose another --metrics-port (0 takes a free one)"
            ) from None
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._accepting = self._loop.create_task(self._accept())
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._accepting.cancel)
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._accepting)
        self._loop.close()

    async def _accept(self) -> None:
        try:
            while True:
                try:
                    connection, _ = await self._loop.sock_accept(self._listener)
                except OSError:  # no file descriptor, or a client that is gone already
                    await asyncio.sleep(_NO_FILES_PAUSE_S)
                    continue
                if len(self._open) >= MOST_CONNECTIONS:
                    oldest = next(iter(self._open))
                    del self._open[oldest]
                    oldest.cancel()
                task = self._loop.create_task(self._serve(connection))
                self._open[task] = None
                task.add_done_callback(lambda done: self._open.pop(done, None))
                await asyncio.sleep(0)  # a task that is cancelled before it began closes nothing
        finally:
            self._listener.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, connection: socket.socket) -> None:
        """Answer one request, within a bound for all of it."""
        try:
            await asyncio.wait_for(self._converse(connection), PATIENCE_S)
        except Exception as error:  # whatever a client does, it is no event
            logger.debug("a client of the metrics port went away: %s", error)
        finally:
            connection.close()

    async def _converse(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(_HEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: Any
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._tls
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._reply(head))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        finally:
            transport.abort()

    def _reply(self, head: bytes) -> bytes:
        line, _, rest = head.partition(b"\r\n")
        method, path, *_ = [*line.decode("latin-1").split(" "), "", ""]
        status, kind, body = self._answer(method, path, http.client.parse_headers(io.BytesIO(rest)))
        start = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return start.encode() + (b"" if method == "HEAD" else body)

    def _answer(self, method: str, target: str, headers: http.client.HTTPMessage) -> _Reply:
        path = target.partition("?")[0]
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"this port answers GET and HEAD\n"
        if path == "/healthz":
            status = self._status()
            return (200 if status == "serving" else 503), _TEXT, f"{status}\n".encode()
        if path != "/metrics":
            return 404, _TEXT, b"not found: this port serves /metrics and /healthz\n"
        refusal = page_refusal(
            headers.get("Origin"), headers.get("Host"), tokens=not self._tokens.is_open
        )
        if refusal is not None:
            return 403, _TEXT, f"{refusal}\n".encode()
        try:
            self._tokens.identify(bearer_token(headers.get("Authorization")))
        except NotAuthorised as error:
            return 401, _TEXT, f"{error}\n".encode()
        return 200, _EXPOSITION, self._exposition()
