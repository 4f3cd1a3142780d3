"""Monitor port: /metrics for Prometheus and /healthz for probes.

It has its own threads, so that it answers while the event loop is busy, and a scrape delays no
request.
"""

import dataclasses
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from handover_common import host_port
from handover_proto import NotAuthorised

from handover_server.errors import ServingError
from handover_server.security.tls import TlsFiles, renewing_context
from handover_server.security.tokens import TokenCheck, bearer_token

logger = logging.getLogger(__name__)

_PATIENCE_S = 5.0  # with a client that sends or reads slowly
MOST_CONNECTIONS = 64  # a thread each; further ones are closed at once
_TEXT = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


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
        handler = type("Handler", (_Handler,), {"answer": staticmethod(self._answer)})
        self._status, self._exposition, self._tokens = status, exposition, tokens
        try:
            self._server = _Server(address, handler, tls)
        except OSError as error:
            raise ServingError(
                f"cannot listen on {host_port(*address)} for metrics: {error.strerror or error}; "
                "choose another --metrics-port (0 takes a free one)"
            ) from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="monitor", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str, authorization: str | None) -> tuple[int, str, bytes]:
        """Return status, content type and body for a GET of `path`."""
        if path == "/healthz":
            status = self._status()
            return (200 if status == "serving" else 503), _TEXT, f"{status}\n".encode()
        if path != "/metrics":
            return 404, _TEXT, b"not found: this port serves /metrics and /healthz\n"
        try:
            self._tokens.identify(bearer_token(authorization))
        except NotAuthorised as error:
            return 401, _TEXT, f"{error}\n".encode()
        return 200, _EXPOSITION, self._exposition()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any, tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._tls = tls
        self._room = threading.Semaphore(MOST_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread, if there is one left."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection, then make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: a silent client blocks only that one."""
        request.settimeout(_PATIENCE_S)
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log at debug alone: a client that disconnects is no event."""
        logger.debug("a client of the metrics port went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[str, str | None], tuple[int, str, bytes]]
    server_version, sys_version = "handover", ""

    def do_GET(self) -> None:
        status, kind, body = self.answer(self.path.partition("?")[0], self.headers["Authorization"])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Log no probe: one comes every few seconds."""
