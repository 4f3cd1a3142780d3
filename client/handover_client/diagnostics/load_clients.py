"""Clients of one process that load a server: one connection each, by schedule or in a row."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import grpc
from grpc import aio
from handover_proto import ImageCodec, Overloaded, PolicyError

from handover_client.connection.channel import INFER, open_channel
from handover_client.connection.foreign.address import ServerAddress
from handover_client.connection.foreign.base import ForeignClient
from handover_client.connection.foreign.open import AnyClient, open_server
from handover_client.connection.foreign.spec_file import ToldSpec
from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.security import ChannelSecurity

Call = Callable[[], Awaitable[None]]

_CODES = {code.value[0]: code for code in grpc.StatusCode}
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
    """One process's part of a load: its clients ask with `message` from `start_s` (time.time()).

    told: what the protocol of another project's server does not tell
    """

    address: str
    security: ChannelSecurity
    message: bytes
    start_s: float
    seconds: float
    timeout_s: float
    told: ToldSpec | None = None


Report = Callable[[Answered], None]


async def run_clients(
    share: Share, schedules: list[Iterator[float] | None], report: Report
) -> None:
    """Ask until the time is up and everything is answered; each answer is reported once.

    schedules: of each client; None asks again as soon as the answer is there
    """
    if ServerAddress.parse(share.address).scheme:
        await _run_foreign(share, schedules, report)
        return
    # a subchannel pool of its own gives each client its own connection
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [open_channel(aio, share.address, share.security, options) for _ in schedules]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        await asyncio.sleep(max(0.0, share.start_s - time.time()))
        start = time.perf_counter()
        await asyncio.gather(
            *(
                _Client(partial(_ask_grpc, channel, share), share, start, report).ask_by(schedule)
                for channel, schedule in zip(channels, schedules, strict=True)
            )
        )
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


async def _run_foreign(
    share: Share, schedules: list[Iterator[float] | None], report: Report
) -> None:
    """Ask another project's server, each client in a thread of its own."""
    limits = ImageCodec.RAW_RGB8, share.timeout_s, share.security, share.told
    clients = [open_server(share.address, *limits) for _ in schedules]
    threads = ThreadPoolExecutor(len(clients))
    try:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(threads, each.get_info) for each in clients))
        await asyncio.sleep(max(0.0, share.start_s - time.time()))
        start = time.perf_counter()
        calls = [partial(_ask_foreign, each, threads, share.message) for each in clients]
        await asyncio.gather(
            *(
                _Client(call, share, start, report).ask_by(schedule)
                for call, schedule in zip(calls, schedules, strict=True)
            )
        )
    finally:
        for client in clients:
            client.close()
        threads.shutdown(wait=False, cancel_futures=True)


async def _ask_foreign(client: AnyClient, threads: ThreadPoolExecutor, message: bytes) -> None:
    assert isinstance(client, ForeignClient), "the address has a scheme"
    await asyncio.get_running_loop().run_in_executor(threads, client.exchange, message)


async def _ask_grpc(channel: aio.Channel, share: Share) -> None:
    call = channel.unary_unary(INFER)  # bytes to bytes
    try:
        await call(share.message, timeout=share.timeout_s, metadata=share.security.metadata())
    except aio.AioRpcError as error:
        raise typed_error(error, share.address) from None


class _Client:
    """One connection and its calls: `call` asks once, and raises PolicyError."""

    def __init__(self, call: Call, share: Share, start: float, report: Report) -> None:
        self._call = call
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
            await self._call()
            status = grpc.StatusCode.OK
        except PolicyError as error:
            status = _CODES[error.status]
            pause_s = error.retry_after_s if isinstance(error, Overloaded) else _PAUSE_S
        self._report(Answered(due_s, (self._now() - due_s) * 1e3, status.name))
        return pause_s

    def _now(self) -> float:
        return time.perf_counter() - self._start
