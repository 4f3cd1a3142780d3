"""Reloads on a signal: the token file and the checkpoint are read again."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from handover_common import HandoverError
from handover_proto import Policy

from handover_server.logs import fields
from handover_server.requests.outcome import record_incident
from handover_server.rpc.server import PolicyServer
from handover_server.security.tokens import read_tokens

logger = logging.getLogger(__name__)


class Reloads:
    """Reads the token file and the checkpoint again on each `start`.

    What cannot be used changes nothing, with one line in the log.
    """

    def __init__(
        self, server: PolicyServer, load: Callable[[], Policy], token_file: Path | None
    ) -> None:
        self._server, self._load, self._token_file = server, load, token_file
        self._running: asyncio.Task[None] | None = None

    def on_signal(self, number: signal.Signals) -> None:
        """Reload whenever this signal comes; during a reload it is refused, with a log line."""
        asyncio.get_running_loop().add_signal_handler(number, self.start)

    def start(self) -> None:
        """Read the tokens, and begin to reload the checkpoint in the background."""
        self._read_tokens()
        if self._running is not None and not self._running.done():
            logger.warning("a reload is in progress; send SIGHUP again when it is done")
            return
        self._running = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        logger.info("reload: loading in the background")
        began_s = time.monotonic()
        try:
            spec = await self._server.replace(self._load)
        except HandoverError as error:
            logger.error("reload: the former checkpoint is still served: %s", error)
        except Exception as error:
            record_incident("reload failed, the former checkpoint is still served", error)
        else:
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
            check = self._server.settings.tokens
            check.replace(tokens)
            logger.info("reload: tokens read", extra=fields(clients=", ".join(check.names)))
