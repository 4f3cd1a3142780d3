"""What an operator does to a running server: look at it, and give it new files by SIGHUP."""

import asyncio
import dataclasses
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from handover_common import HandoverError, host_port
from handover_proto import Policy

from handover_server.logs import fields
from handover_server.operations.monitor import Monitor
from handover_server.operations.recorder import Recorder
from handover_server.requests.incident import record_incident
from handover_server.rpc.server import PolicyServer
from handover_server.security.tls import renewing_context
from handover_server.security.tokens import TokenCheck, read_tokens
from handover_server.serve.command import ServeConfig

if TYPE_CHECKING:
    from handover_server.operations.metrics import Metrics

logger = logging.getLogger(__name__)


class Reloads:
    """Reads the token file and the checkpoint again, each time that it is told to.

    What cannot be used leaves everything as it was, with one line in the log.
    """

    def __init__(
        self,
        server: PolicyServer,
        load: Callable[[], Policy],
        tokens: TokenCheck,
        token_file: Path | None,
    ) -> None:
        self._server, self._load = server, load
        self._tokens, self._token_file = tokens, token_file
        self._under_way: asyncio.Task[None] | None = None
        self._done = self._failed = 0

    def on_signal(self, number: signal.Signals) -> None:
        """Reload whenever this signal comes; during a reload it is refused, as the log says."""
        asyncio.get_running_loop().add_signal_handler(number, self.start)

    def start(self) -> None:
        """Begin a reload in the background."""
        self._read_tokens()
        if self._under_way is not None and not self._under_way.done():
            logger.warning("a reload is under way; send SIGHUP again when it is done")
            return
        self._under_way = asyncio.create_task(self.reload())

    def totals(self) -> dict[str, float]:
        """Count the reloads: {name: count}."""
        return {"reloads": self._done, "reload_failures": self._failed}

    async def reload(self) -> None:
        """Take up the checkpoint that is now where the first one was."""
        logger.info("reload: loading in the background")
        began_s = time.monotonic()
        try:
            spec = await self._server.replace(self._load)
        except HandoverError as error:
            self._failed += 1
            logger.error("reload: the former checkpoint is served on: %s", error)
        except Exception as error:
            self._failed += 1
            record_incident("reload failed, the former checkpoint is served on", error)
        else:
            self._done += 1
            served = fields(
                checkpoint=spec.checkpoint_name,
                checkpoint_hash=spec.checkpoint_hash[:12],
                processor_hash=spec.processor_hash[:12],
                seconds=time.monotonic() - began_s,
            )
            logger.info("reload: served from now on", extra=served)

    def _read_tokens(self) -> None:
        if self._token_file is None:
            return
        try:
            tokens = read_tokens(self._token_file)
        except HandoverError as error:
            logger.error("reload: the former tokens stay: %s", error)
        else:
            self._tokens.replace(tokens)
            logger.info("reload: tokens read", extra=fields(tokens=len(tokens)))


def open_monitor(
    config: ServeConfig,
    server: PolicyServer,
    reloads: Reloads,
    metrics: "Metrics | None",
    recorder: Recorder | None,
) -> Monitor | None:
    """Open the port for metrics and health, where one is wanted; raises ServingError."""
    if config.metrics_port is None or metrics is None:
        return None
    metrics.follow(server.levels, reloads.totals)
    if recorder is not None:
        metrics.follow(recorder.levels, recorder.totals)
    tls = server.settings.tls
    monitor = Monitor(
        (config.metrics_host, config.metrics_port),
        lambda: server.status,
        metrics.exposition,
        server.settings.tokens,
        # no certificate is asked of a client here: probes have none
        None if tls is None else renewing_context(dataclasses.replace(tls, client_ca=None)),
    )
    scheme = "http" if tls is None else "https"
    where = host_port(config.metrics_host, monitor.port)
    logger.info("metrics and health: %s://%s", scheme, where)
    return monitor
