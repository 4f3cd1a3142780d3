"""Clients of one process that load a server: one connection each, by schedule or in a row."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import grpc
from grpc import aio
from handover_proto import Overloaded

from handover_client.connection.channel import INFER, open_channel
from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.security import ChannelSecurity

_PAUSE_S = 0.02  # after a failure, where neither a schedule nor the server says when to ask again


@dataclass(frozen=True)
class Answered:
    """One request's end: when it was due, how long after that it ended, and how.

    due_s: seconds from the start of the load; latency_ms: from then; status: gRPC's name, OK
    """

    due_s: float
    latency_ms: float
    status: str


@dataclass(frozen=True)
class Share:
    """One process's part of a load: its clients ask with `message` from `start_s` (time.time())."""

    address: str
    security: ChannelSecurity
    message: bytes
    start_s: float
    seconds: float
    timeout_s: float


Report = Callable[[Answered], None]


async def run_clients(
    share: Share, schedules: list[Iterator[float] | None], report: Report
) -> None:
    """Ask until the time is up and everything is answered; each answer is reported once.

    schedules: of each client; None asks again as soon as the answer is there
    """
    # a subchannel pool of its own gives each client its own connection
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [open_channel(aio, share.address, share.security, options) for _ in schedules]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        await asyncio.sleep(max(0.0, share.start_s - time.time()))
        start = time.perf_counter()
        await asyncio.gather(
            *(
                _Client(channel, share, start, report).ask_by(schedule)
                for channel, schedule in zip(channels, schedules, strict=True)
            )
        )
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


class _Client:
    """One connection and its calls."""

    def __init__(self, channel: aio.Channel, share: Share, start: float, report: Report) -> None:
        self._call = channel.unary_unary(INFER)  # bytes to bytes
        self._metadata = share.security.metadata()
        self._share, self._start, self._report = share, start, report

    async def ask_by(self, schedule: Iterator[float] | None) -> None:
        """Ask at each moment of `schedule`, whether the last is answered or not; or in a row."""
        if schedule is None:
            await self._ask_in_a_row()
            return
        under_way: set[asyncio.Task[float]] = set()
        try:
            for due_s in schedule:
                if due_s >= self._share.seconds:
                    break
                await asyncio.sleep(max(0.0, due_s - self._now()))
                task = asyncio.create_task(self._ask(due_s))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()

    async def _ask_in_a_row(self) -> None:
        for _ in repeat(None):
            now = self._now()
            if now >= self._share.seconds:
                return
            if pause_s := await self._ask(now):
                await asyncio.sleep(pause_s)

    async def _ask(self, due_s: float) -> float:
        """Ask once and report it; returns for how long the client should then leave it at that."""
        pause_s = 0.0
        try:
            await self._call(
                self._share.message, timeout=self._share.timeout_s, metadata=self._metadata
            )
            status = grpc.StatusCode.OK
        except aio.AioRpcError as error:
            status = error.code()
            typed = typed_error(error, self._share.address)
            pause_s = typed.retry_after_s if isinstance(typed, Overloaded) else _PAUSE_S
        self._report(Answered(due_s, (self._now() - due_s) * 1e3, status.name))
        return pause_s

    def _now(self) -> float:
        return time.perf_counter() - self._start
