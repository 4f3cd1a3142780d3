"""Policy server as a whole: it listens, becomes ready, reloads, drains and stops."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from handover_common import host_port, package_version
from handover_proto import Limits, Policy, PolicySpec, ServerInfo, message_limit

from handover_server.connections.guard import ConnectionGuard
from handover_server.errors import ReloadRefused, ServingError
from handover_server.gateways.listeners import Gateways
from handover_server.inference.admission import Admission
from handover_server.inference.memory import trim_memory
from handover_server.inference.reload import prepare
from handover_server.inference.scheduler import Scheduler
from handover_server.operations.heartbeat import Heartbeat
from handover_server.operations.monitor import Monitor, open_monitor
from handover_server.operations.watchdog import Watchdog
from handover_server.requests.observer import Observers
from handover_server.rpc.ports import check_free
from handover_server.rpc.service import SERVICE_NAME, PolicyService
from handover_server.rpc.settings import ServerSettings
from handover_server.rpc.small_calls import SmallCalls
from handover_server.rpc.token_interceptor import TokenInterceptor
from handover_server.security.tls import renewing_context, server_credentials

logger = logging.getLogger(__name__)

_CLOSE_S = 2.0  # for clients to take part in the closing of their connections
_LAST_REPLIES_S = 0.5  # for replies still being sent when everything has been answered

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class PolicyServer:
    """Asynchronous gRPC server for the policy that `load` makes, run in the policy's own thread.

    Create, use and drain it in one event loop: listen, become_ready, …, drain.
    """

    def __init__(self, load: Callable[[], Policy], settings: ServerSettings) -> None:
        self.settings = settings
        self.gateways = Gateways(settings.gateways)
        self.port = 0
        observer = self._observer = settings.observer
        if settings.monitor is not None:
            from handover_server.operations.metrics import Metrics  # prometheus_client

            self._metrics = Metrics()
            self._metrics.follow(self.levels, self.totals)
            observer = self._observer = Observers(observer, self._metrics)
        self._scheduler = Scheduler(load, settings.max_batch, settings.batch_window_s, observer)
        self._guard = ConnectionGuard(settings.connections, trim_memory)
        self._service = PolicyService(settings.tokens, self._guard)
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        checks: list[aio.ServerInterceptor] = [SmallCalls(self._guard, SERVICE_NAME)]
        if not settings.tokens.is_open:
            checks.append(TokenInterceptor(settings.tokens, observer))
        self._server = aio.server(interceptors=checks, options=settings.grpc_options())
        self._admission: Admission | None = None
        self._watching: asyncio.Task[None] | None = None
        self.monitor: Monitor | None = None
        self._heartbeat = Heartbeat()
        self._beating: asyncio.Task[None] | None = None
        self._reloads = self._reload_failures = 0

    async def listen(self) -> None:
        """Open the ports, with health NOT_SERVING; raises ServingError when one cannot be used."""
        settings = self.settings
        check_free(settings.host, settings.port)
        self._server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        await self._set_health(_NOT_SERVING)
        address = host_port(settings.host, settings.port)
        try:
            if settings.tls is None:
                self.port = self._server.add_insecure_port(address)
            else:
                credentials = server_credentials(settings.tls)
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ServingError(f"cannot listen on {address}: {error}") from None
        await self._server.start()
        self._guard.watch(self.port)
        if settings.monitor is not None:
            self._beating = asyncio.create_task(self._heartbeat.beat())
            self.monitor = open_monitor(
                settings.monitor,
                lambda: self._heartbeat.fault() or self.status,
                self._metrics.exposition,
                settings.tokens,
                settings.tls,
            )

    async def become_ready(self) -> PolicySpec:
        """Load and warm up the policy, then serve it; raises what loading raises."""
        self._scheduler.start()
        spec = await asyncio.wrap_future(self._scheduler.ready)
        limits = Limits(message_limit(spec, Limits()), max_batch=spec.max_batch)
        info = ServerInfo(spec, limits, server_version=_version())
        self._admission = Admission(
            info,
            self._scheduler,
            self.settings.limits,
            self.settings.decode_threads,
            self._observer,
        )
        self._observer.serving(info)
        self._guard.expect(limits.max_message_bytes)
        self._service.open(self._admission)
        tls = self.settings.tls
        await self.gateways.open(
            self._admission,
            self.settings.tokens,
            None if tls is None else renewing_context(tls),
            self._guard.delivered,
        )
        self._guard.watch(self.gateways.openpi_port, self.gateways.groot_zmq_port)
        await self._set_health(_SERVING)
        self._watching = asyncio.create_task(self._watch())
        return spec

    async def until_lost(self) -> bool:
        """Wait until the policy is given up, stuck for too long or without its GPU; returns True.

        Call it once the server is ready.
        """
        assert self._watching is not None, "become_ready comes first"
        await asyncio.shield(self._watching)
        return True

    async def replace(self, load: Callable[[], Policy]) -> PolicySpec:
        """Serve another policy from the next batch on, without losing a request; returns its spec.

        Raises ReloadRefused, or what loading raises; the former policy is served on then.
        """
        try:
            spec = await self._replace(load)
        except Exception:
            self._reload_failures += 1
            raise
        self._reloads += 1
        return spec

    async def _replace(self, load: Callable[[], Policy]) -> PolicySpec:
        admission = self._admission
        if admission is None:
            raise ReloadRefused("the server is still loading its first one")
        info = admission.info
        policy = await asyncio.wrap_future(prepare(load, info.spec))
        spec = dataclasses.replace(policy.spec, max_batch=info.spec.max_batch)
        self._scheduler.replace(policy)
        admission.info = dataclasses.replace(info, spec=spec)
        self._service.open(admission)
        self._observer.serving(admission.info)
        return spec

    @property
    def address(self) -> str:
        """HOST:PORT, for clients on the same network, once the server listens."""
        return host_port(self.settings.host, self.port)

    @property
    def status(self) -> str:
        """One word for the state: serving, or why it is not; any thread may read it."""
        return "loading" if self._admission is None else self._admission.status

    def levels(self) -> dict[str, float]:
        """Return current gauges, those of requests once the policy is loaded: {name: value}."""
        gauges = {} if self._admission is None else self._admission.levels()
        return gauges | self.settings.observer.levels()

    def totals(self) -> dict[str, float]:
        """Return the counters of reloads and of the observer: {name: count}."""
        reloads = {"reloads": self._reloads, "reload_failures": self._reload_failures}
        return reloads | self.settings.observer.totals()

    async def suspend(self, reason: str) -> int:
        """Refuse all requests until `resume`, with health NOT_SERVING and `reason` as the error.

        Those in flight end with it too; returns how many. Call it once the server is ready.
        """
        assert self._admission is not None, "become_ready comes first"
        await self._set_health(_NOT_SERVING)
        return self._admission.suspend(reason)

    async def resume(self) -> None:
        """Admit requests again."""
        assert self._admission is not None, "become_ready comes first"
        self._admission.resume()
        await self._set_health(_SERVING)

    def stop_admitting(self) -> None:
        """Refuse new requests for good; streams end after what they have in flight."""
        self._service.close()
        self.gateways.refuse()

    async def drain(self, timeout_s: float) -> bool:
        """Answer admitted requests, refuse others, stop; returns False if the time is too short."""
        for task in (self._watching, self._beating):
            if task is not None:
                task.cancel()
        await self._health.enter_graceful_shutdown()
        self.stop_admitting()
        unanswered = 0
        if self._admission is not None:
            unanswered = await self._admission.drain(timeout_s)
        closing = map(
            asyncio.ensure_future, (self._server.stop(_LAST_REPLIES_S), self.gateways.close())
        )
        _, late = await asyncio.wait(set(closing), timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        self._guard.close()
        stopped = self._scheduler.close(_LAST_REPLIES_S)
        if unanswered:
            logger.warning("%d request(s) were not answered within %g s", unanswered, timeout_s)
        if self.monitor is not None:
            self.monitor.close()
        self._observer.close()
        return stopped and not unanswered

    async def _watch(self) -> None:
        runner = self._scheduler.runner
        watchdog = Watchdog(runner, self.settings.watchdog, self.suspend, self.resume)
        watching = asyncio.ensure_future(watchdog.watch())
        lost = asyncio.shield(asyncio.wrap_future(runner.lost))  # the policy's thread may set it
        try:
            done, _ = await asyncio.wait({watching, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
        if lost not in done:
            return watching.result()
        logger.error("the policy is lost: %s", lost.result())
        await self.suspend(lost.result())

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)


def _version() -> str:
    return package_version("handover") or "source"  # run from a checkout without being installed
