"""Serving: builds a server from the flags, and runs it until it is stopped."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

from handover_proto import Policy

from handover_server.connections.guard import ConnectionLimits
from handover_server.connections.sockets import allow_connections
from handover_server.gateways.listeners import GatewaySettings
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.inference.memory import keep_freed_memory
from handover_server.inference.shares import AdmissionLimits
from handover_server.operations.recorder import Recorder
from handover_server.operations.request_summary import RequestSummary
from handover_server.operations.watchdog import WatchdogSettings
from handover_server.requests.observer import Observers
from handover_server.rpc.server import PolicyServer
from handover_server.rpc.settings import ServerSettings
from handover_server.security.exposure import warn_of_exposure
from handover_server.security.tls import TlsFiles
from handover_server.security.tokens import TokenCheck, read_tokens
from handover_server.serve.config import ServeConfig
from handover_server.serve.reloads import Reloads

logger = logging.getLogger(__name__)

_CLOSING_S = 8.0  # after --drain-s, for ports, streams and the recording
_LOST = 3  # exit status: the policy was given up, and a supervisor should start another server

Announce = Callable[[str], None]  # called with a line for each address, once it answers there
Result = TypeVar("Result")


def serve_and_exit(config: ServeConfig, announce: Announce) -> NoReturn:
    """Serve until SIGTERM or SIGINT; raises HandoverError when the server cannot start.

    Ends the process itself, with status 3 when the watchdog gave the policy up.
    """
    asyncio.run(_serve_and_exit(config, announce))
    raise AssertionError("the process has ended")


async def _serve_and_exit(config: ServeConfig, announce: Announce) -> NoReturn:
    lost = await serve_until_stopped(config, lambda: load_policy(config), announce)
    # All is closed. Python's own end would take seconds to free a network, pull native code away
    # from threads that may still be inside it, and wait for whoever reads stderr.
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(_LOST if lost else 0)


async def serve_until_stopped(
    config: ServeConfig, load: Callable[[], Policy], announce: Announce
) -> bool:
    """Serve until SIGTERM or SIGINT and close everything; returns whether the policy was lost."""
    keep_freed_memory()
    server = build_server(config, load)
    with _stop_on_signals(config.drain_s + _CLOSING_S) as stop:
        Reloads(server, load, config.token_file).on_signal(signal.SIGHUP)
        lost = False
        try:
            await server.listen()
            spec = await _unless_stopped(stop, server.become_ready())
            if spec is not None:
                for line in server.gateways.lines():
                    announce(line)
                announce(f"serving {spec.checkpoint_name or spec.policy} on {server.address}")
                lost = bool(await _unless_stopped(stop, server.until_lost()))
        finally:
            await server.drain(0.0 if lost else config.drain_s)
    return lost


def load_policy(config: ServeConfig) -> Policy:
    """Load the policy that the flags name; only what it needs is imported."""
    if config.policy == "hold":
        from handover_server.policies.hold import HoldPolicy

        return HoldPolicy()
    if config.policy == "replay":
        from handover_server.policies.replay import ReplayPolicy

        assert config.dataset_path is not None, "checked"
        return ReplayPolicy.open(config.dataset_path)
    from handover_server.policies.groot import load_groot

    assert config.checkpoint is not None, "checked"
    return load_groot(
        config.checkpoint,
        device=config.device,
        dtype=config.dtype,
        tokenizer=config.tokenizer,
        tag=config.embodiment_tag,
        threads=config.threads,
        engine=config.engine,
        compiled=config.compile,
        precision=config.precision,
        fp8_scales=config.fp8_scales,
    )


def build_server(config: ServeConfig, load: Callable[[], Policy]) -> PolicyServer:
    """Build the server that the flags describe, to be run in the current event loop.

    Raises ServingError for a token file or a recording's folder that cannot be used.
    """
    tls = None
    if config.tls_cert is not None and config.tls_key is not None:
        tls = TlsFiles(config.tls_cert, config.tls_key, config.client_ca)
    warn_of_exposure(config.listeners(), tls=tls is not None, tokens=config.token_file is not None)
    port = config.metrics_port
    observer = RequestSummary()
    if config.record is not None:
        observer = Observers(observer, Recorder(config.record, int(config.record_max_gb * 1e9)))
    connections = allow_connections(config.max_connections)
    settings = ServerSettings(
        host=config.host,
        port=config.port,
        max_batch=config.max_batch,
        decode_threads=config.decode_threads,
        batch_window_s=config.batch_window_ms / 1e3,
        limits=AdmissionLimits(
            requests=config.max_waiting,
            client_requests=config.client_requests,
            client_streams=config.client_streams,
        ),
        connections=ConnectionLimits(connections, (connections + 1) // 2),
        tokens=TokenCheck(read_tokens(config.token_file) if config.token_file else ()),
        tls=tls,
        watchdog=WatchdogSettings(config.watchdog_s, config.watchdog_exit_s),
        observer=observer,
        gateways=GatewaySettings(
            host=config.gateway_host,
            openpi_port=config.openpi_port,
            groot_zmq_port=config.groot_zmq_port,
            adaptation=Adaptation(config.openpi_prompt, config.openpi_rate_hz),
        ),
        monitor=None if port is None else (config.metrics_host, port),
    )
    return PolicyServer(load, settings)


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Return what `work` returns; None when the server is stopped first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    return None


@contextlib.contextmanager
def _stop_on_signals(bound_s: float) -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets; a second signal ends the process at once.

    The process is ended by SIGALRM where it takes longer than `bound_s` from then on, whatever it
    is waiting for. The handler does no more than that: it may interrupt anything, a lock's holder
    too.
    """
    stop, loop, came = asyncio.Event(), asyncio.get_running_loop(), list[int]()

    def begin(number: int) -> None:
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    def on_signal(number: int, _: object) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)
        signal.setitimer(signal.ITIMER_REAL, bound_s)
        loop.call_soon_threadsafe(begin, number)

    former = {each: signal.signal(each, on_signal) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            signal.signal(number, handler)
