"""The server as a whole: it listens, becomes ready, drains and stops."""

import asyncio
import dataclasses
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from handover_common import host_port, package_version
from handover_proto import MAX_MESSAGE_BYTES, Limits, Policy, PolicySpec, ServerInfo

from handover_server.errors import ReloadRefused, ServingError
from handover_server.gateways.listeners import Gateways, GatewaySettings
from handover_server.inference.admission import Admission, AdmissionLimits
from handover_server.inference.reload import prepare
from handover_server.inference.scheduler import Scheduler
from handover_server.operations.watchdog import Watchdog, WatchdogSettings
from handover_server.requests.observer import Observer
from handover_server.rpc.service import SERVICE_NAME, PolicyService
from handover_server.rpc.token_interceptor import TokenInterceptor
from handover_server.security.tls import TlsFiles, renewing_context, server_credentials
from handover_server.security.tokens import TokenCheck

logger = logging.getLogger(__name__)

_CALLS_BESIDE = 16  # of a connection: GetInfo, health, reflection, and what is refused meanwhile
_LAST_REPLIES_S = 0.5  # for replies that are on their way when everything has been answered

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # or a second server shares the port silently
    # a client may ask every 5 s whether the connection lives, also between calls
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True)
class ServerSettings:
    """Where to listen and how much to take on; port 0 lets the system choose."""

    host: str = "127.0.0.1"
    port: int = 0
    max_batch: int | None = None
    batch_window_s: float = 0.0
    decode_threads: int = 2
    bounds: AdmissionLimits = field(default_factory=AdmissionLimits)
    tokens: TokenCheck = field(default_factory=TokenCheck)
    tls: TlsFiles | None = None
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
    observer: Observer = field(default_factory=Observer)
    gateways: GatewaySettings = field(default_factory=GatewaySettings)


class PolicyServer:
    """A gRPC server for the policy that `load` makes, in a thread of the policy's own."""

    def __init__(self, load: Callable[[], Policy], settings: ServerSettings) -> None:
        self.settings = settings
        self._scheduler = Scheduler(
            load, settings.max_batch, settings.batch_window_s, settings.observer
        )
        self._service = PolicyService(settings.tokens)
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        guards = (
            ()
            if settings.tokens.is_open
            else (TokenInterceptor(settings.tokens, settings.observer),)
        )
        self._server = aio.server(interceptors=guards, options=_options(settings.bounds))
        self._intake: Admission | None = None
        self._watching: asyncio.Task[None] | None = None
        self.gateways = Gateways(settings.gateways)
        self.port = 0

    async def listen(self) -> None:
        """Open the port, with health NOT_SERVING; raises ServingError when it cannot be had."""
        settings = self.settings
        _check_free(settings.host, settings.port)
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self._tell_health(_NOT_SERVING)
        wanted = host_port(settings.host, settings.port)
        try:
            self.port = self._open_port(wanted)
        except RuntimeError as error:
            raise ServingError(f"cannot listen on {wanted}: {error}") from None
        await self._server.start()

    def _open_port(self, wanted: str) -> int:
        if self.settings.tls is None:
            return self._server.add_insecure_port(wanted)
        return self._server.add_secure_port(wanted, server_credentials(self.settings.tls))

    async def become_ready(self) -> PolicySpec:
        """Load and warm up the policy, then serve it; raises what loading raises."""
        self._scheduler.start()
        spec = await asyncio.wrap_future(self._scheduler.ready)
        info = ServerInfo(spec, Limits(max_batch=spec.max_batch), server_version=_version())
        self._intake = Admission(
            info,
            self._scheduler,
            self.settings.bounds,
            self.settings.decode_threads,
            self.settings.observer,
        )
        self.settings.observer.serving(info)
        self._service.open(self._intake)
        tls = self.settings.tls
        await self.gateways.open(
            self._intake, self.settings.tokens, None if tls is None else renewing_context(tls)
        )
        await self._tell_health(_SERVING)
        self._watching = asyncio.create_task(self._watch(self._intake))
        return spec

    async def until_lost(self) -> None:
        """Wait until the policy is given up: stuck for too long, or without its GPU.

        To be called once the server is ready.
        """
        assert self._watching is not None, "become_ready comes first"
        await asyncio.shield(self._watching)

    async def replace(self, load: Callable[[], Policy]) -> PolicySpec:
        """Serve another policy from some batch on, without losing a request; returns its spec.

        Raises ReloadRefused, or what loading raises; the policy from before is served on then.
        """
        intake = self._intake
        if intake is None:
            raise ReloadRefused("the server is still loading its first one")
        info = intake.info
        policy = await asyncio.wrap_future(prepare(load, info.spec))
        spec = dataclasses.replace(policy.spec, max_batch=info.spec.max_batch)
        self._scheduler.replace(policy)
        intake.info = dataclasses.replace(info, spec=spec)
        self._service.open(intake)
        self.settings.observer.serving(intake.info)
        return spec

    @property
    def status(self) -> str:
        """How the server is, in a word: serving, or why it is not; any thread may ask."""
        return "loading" if self._intake is None else self._intake.status

    def levels(self) -> dict[str, float]:
        """What comes and goes, once the policy is there: {name: count}; any thread may ask."""
        return {} if self._intake is None else self._intake.levels()

    async def drain(self, timeout_s: float) -> bool:
        """Answer what was admitted, refuse the rest, stop; False if `timeout_s` was too short."""
        if self._watching is not None:
            self._watching.cancel()
        await self._health.enter_graceful_shutdown()
        self._service.close()
        self.gateways.refuse()
        unanswered = 0
        if self._intake is not None:
            unanswered = await self._intake.drain(timeout_s)
        await self._server.stop(_LAST_REPLIES_S)
        await self.gateways.close()
        stopped = self._scheduler.close(_LAST_REPLIES_S)
        if unanswered:
            logger.warning("%d request(s) were not answered within %g s", unanswered, timeout_s)
        return stopped and not unanswered

    async def _watch(self, intake: Admission) -> None:
        async def turn_away(reason: str) -> int:
            await self._tell_health(_NOT_SERVING)
            return intake.suspend(reason)

        async def admit_again() -> None:
            intake.resume()
            await self._tell_health(_SERVING)

        calls = self._scheduler.calls
        watchdog = Watchdog(calls, self.settings.watchdog, turn_away, admit_again)
        watching = asyncio.ensure_future(watchdog.watch())
        lost = asyncio.shield(asyncio.wrap_future(calls.lost))  # the policy's thread may yet set it
        try:
            done, _ = await asyncio.wait({watching, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
        if lost not in done:
            return watching.result()
        logger.error("the policy is lost: %s", lost.result())
        await turn_away(lost.result())

    async def _tell_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)


def _options(bounds: AdmissionLimits) -> tuple[tuple[str, int], ...]:
    """Beyond what one client may have under way, its calls wait in the client, not in memory."""
    calls = bounds.client_requests + bounds.client_streams + _CALLS_BESIDE
    return (*_OPTIONS, ("grpc.max_concurrent_streams", calls))


_REMEDIES = {
    errno.EADDRINUSE: "choose another --port (0 takes a free one) or stop what uses it",
    errno.EACCES: "only root may listen there: choose a --port from 1024 on",
}


def _check_free(host: str, port: int) -> None:
    """Raise ServingError unless `host:port` can be had; gRPC's own complaint is a page long."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise ServingError(
            f"cannot listen on {host_port(host, port)}: {error.strerror or error}; "
            + _REMEDIES.get(error.errno or 0, "expected an address of this machine as --host")
        ) from None


def _version() -> str:
    return package_version("handover") or "source"  # run from a checkout without being installed
