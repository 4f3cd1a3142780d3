"""What `handover serve` does: choose the policy, serve it, stop when told to."""

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from handover_common import host_port
from handover_proto import Policy, PolicySpec

from handover_server.gateways.listeners import GatewaySettings
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.inference.admission import AdmissionLimits
from handover_server.inference.memory import keep_freed_memory
from handover_server.operations.recorder import Recorder
from handover_server.operations.request_summary import RequestLog
from handover_server.operations.watchdog import WatchdogSettings
from handover_server.requests.observer import Observer, Observers
from handover_server.rpc.server import PolicyServer, ServerSettings
from handover_server.security.tls import TlsFiles
from handover_server.security.tokens import TokenCheck, read_tokens
from handover_server.serve.command import ServeConfig
from handover_server.serve.reloads import Reloads, open_monitor

if TYPE_CHECKING:
    from handover_server.operations.metrics import Metrics

logger = logging.getLogger(__name__)

_LOST = 3  # exit status: the policy was given up, and a supervisor should start another server


def serve_until_stopped(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT; raises HandoverError when it cannot start.

    Ends the process itself, with status 3 when the watchdog gave the policy up.
    """
    keep_freed_memory()
    asyncio.run(_serve_and_leave(config))


async def _serve_and_leave(config: ServeConfig) -> None:
    status = await _serve(config)
    # All is closed. Python's own end would take seconds to free a network, and pull native code
    # away from threads that may still be inside it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def load_policy(config: ServeConfig) -> Policy:
    """Make the policy that the command line names; only what it needs is imported."""
    if config.policy == "hold":
        from handover_server.policies.hold import HoldPolicy

        return HoldPolicy()
    if config.dataset_path is not None and config.policy == "replay":
        from handover_server.policies.replay import ReplayPolicy

        return ReplayPolicy.open(config.dataset_path)
    from handover_server.policies.groot import load_groot

    return load_groot(config)


async def _serve(config: ServeConfig) -> int:
    """Serve until told to stop, and close everything; returns the exit status."""
    tokens = TokenCheck(read_tokens(config.token_file) if config.token_file else ())
    metrics = _metrics(config)
    recorder = Recorder(config.record, int(config.record_max_gb * 1e9)) if config.record else None
    watchers = [each for each in (RequestLog(), metrics, recorder) if each is not None]
    settings = _settings(config, tokens, Observers(watchers))
    server = PolicyServer(lambda: load_policy(config), settings)
    stop = _stop_on_signals()
    reloads = Reloads(server, lambda: load_policy(config), tokens, config.token_file)
    reloads.on_signal(signal.SIGHUP)
    await server.listen()
    lost, monitor = False, None
    try:
        monitor = open_monitor(config, server, reloads, metrics, recorder)
        spec = await _ready_or_stopped(server, stop)
        if spec is not None:
            _announce(spec, config.host, server)
            lost = await _lost_or_stopped(server, stop)
    finally:
        await server.drain(0.0 if lost else config.drain_s)
        if monitor is not None:
            monitor.close()
        if recorder is not None:
            recorder.close()
    return _LOST if lost else 0


def _settings(config: ServeConfig, tokens: TokenCheck, observer: Observer) -> ServerSettings:
    return ServerSettings(
        host=config.host,
        port=config.port,
        max_batch=config.max_batch,
        decode_threads=config.decode_threads,
        batch_window_s=config.batch_window_ms / 1e3,
        bounds=AdmissionLimits(
            requests=config.max_waiting,
            client_requests=config.client_requests,
            client_streams=config.client_streams,
        ),
        tokens=tokens,
        tls=_tls_files(config),
        watchdog=WatchdogSettings(config.watchdog_s, config.watchdog_exit_s),
        observer=observer,
        gateways=_gateways(config),
    )


def _gateways(config: ServeConfig) -> GatewaySettings:
    return GatewaySettings(
        host=config.gateway_host,
        openpi_port=config.openpi_port,
        groot_zmq_port=config.groot_zmq_port,
        adaptation=Adaptation(config.openpi_prompt, config.openpi_rate_hz),
    )


def _announce(spec: PolicySpec, host: str, server: PolicyServer) -> None:
    for line in server.gateways.lines():
        print(line, flush=True)
    where = host_port(host, server.port)
    print(f"serving {spec.checkpoint_name or spec.policy} on {where}", flush=True)


async def _lost_or_stopped(server: PolicyServer, stop: asyncio.Event) -> bool:
    """Wait until the server is told to stop, or its policy is lost; True for the latter."""
    lost = asyncio.ensure_future(server.until_lost())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({lost, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if lost.done():
        lost.result()
        return True
    lost.cancel()
    return False


def _metrics(config: ServeConfig) -> "Metrics | None":
    if config.metrics_port is None:
        return None
    from handover_server.operations.metrics import Metrics

    return Metrics()


def _tls_files(config: ServeConfig) -> TlsFiles | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return TlsFiles(config.tls_cert, config.tls_key, config.client_ca)


async def _ready_or_stopped(server: PolicyServer, stop: asyncio.Event) -> PolicySpec | None:
    """Wait for the policy; None when the server is told to stop before that."""
    ready = asyncio.ensure_future(server.become_ready())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({ready, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if ready.done():
        return ready.result()
    ready.cancel()
    return None


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stop
