"""Stream of observations to a policy server, for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from handover_proto import ImageCodec, PolicyError, ServerInfo, ServerUnavailable

from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.readiness import Patience
from handover_client.connection.requests import SealedRequest, StreamAnswer
from handover_client.connection.stream_base import Reopening, StreamBase


class AsyncPolicyStream(StreamBase):
    """PolicyStream for asyncio: the same answers and errors; only `receive` is awaited."""

    def __init__(
        self,
        method: Callable[..., Any],
        info: ServerInfo,
        codec: ImageCodec,
        address: str,
        reopening: Reopening | None = None,
    ) -> None:
        super().__init__(info, codec, address, asyncio.Queue(), reopening)
        self._method = method
        self._closed = False
        self._open()
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def receive(self, *, timeout_s: float) -> StreamAnswer:
        """Wait for the next answer; raises DeadlinePassed, or what ended the stream."""
        try:
            answer = await asyncio.wait_for(self._answers.get(), timeout_s)
        except asyncio.TimeoutError:
            raise self._too_late(timeout_s) from None
        return self._received(answer)

    async def close(self) -> None:
        """End the stream; what still waits is given up."""
        self._closed = True
        self._call.cancel()
        if self._away is not None:  # it waits for the server
            self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def __aenter__(self) -> "AsyncPolicyStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _put(self, request: SealedRequest) -> SealedRequest | None:
        superseded = self._waiting.get_nowait() if self._waiting.full() else None
        self._waiting.put_nowait(request)  # it leaves when the event loop is free
        return superseded

    @staticmethod
    async def _outgoing(waiting: "asyncio.Queue[SealedRequest]") -> AsyncIterator[bytes]:
        while True:
            yield (await waiting.get()).data

    def _open(self) -> None:
        self._waiting: asyncio.Queue[SealedRequest] = asyncio.Queue(maxsize=1)
        self._call = self._method(self._outgoing(self._waiting))
        self._away = None

    async def _read(self) -> None:
        end: PolicyError = ServerUnavailable(f"the stream to {self._address} was closed")
        try:
            while True:
                end = await self._read_call()
                patience = None if self._closed else self._break(end)
                if patience is None:
                    return
                await self._reopen(patience)
        except PolicyError as error:
            end = error
        finally:
            self._end = end
            self._answers.put_nowait(None)

    async def _read_call(self) -> PolicyError:
        """Read answers until the call ends; returns why."""
        try:
            async for reply in self._call:
                self._take(reply)
        except grpc.RpcError as error:
            return typed_error(error, self._address)
        except asyncio.CancelledError:  # how grpc.aio reports that the call was cancelled
            self._closed = True
            return ServerUnavailable(f"the stream to {self._address} was closed")
        return ServerUnavailable(f"the server at {self._address} ended the stream")

    async def _reopen(self, patience: Patience) -> None:
        """Wait for the server and open again."""
        assert self._reopening is not None
        while True:
            try:
                info = await self._reopening.handshake(patience.attempt_s())
            except patience.errors as error:
                await asyncio.sleep(patience.pause_s(error))
            except grpc.aio.UsageError:  # on a channel that was closed
                raise ServerUnavailable(f"the client of {self._address} was closed") from None
            else:
                self._check_same(info)
                self._open()
                return
