"""Stream of observations to a policy server, for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from handover_proto import ImageCodec, PolicyError, ServerInfo, ServerUnavailable

from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.policy_stream import StreamBase
from handover_client.connection.requests import SealedRequest, StreamAnswer
from handover_client.errors import InvalidReply


class AsyncPolicyStream(StreamBase):
    """PolicyStream for asyncio: the same answers and errors; only `receive` is awaited."""

    def __init__(
        self, method: Callable[..., Any], info: ServerInfo, codec: ImageCodec, address: str
    ) -> None:
        super().__init__(info, codec, address, asyncio.Queue())
        self._waiting: asyncio.Queue[SealedRequest] = asyncio.Queue(maxsize=1)
        self._call = method(self._outgoing())
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
        self._call.cancel()
        await self._reader

    async def __aenter__(self) -> "AsyncPolicyStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _put(self, request: SealedRequest) -> SealedRequest | None:
        superseded = self._waiting.get_nowait() if self._waiting.full() else None
        self._waiting.put_nowait(request)  # it leaves when the event loop is free
        return superseded

    async def _outgoing(self) -> AsyncIterator[bytes]:
        while True:
            yield (await self._waiting.get()).data

    async def _read(self) -> None:
        end: PolicyError = ServerUnavailable(f"the server at {self._address} ended the stream")
        try:
            async for reply in self._call:
                self._answers.put_nowait(self._read_answer(reply))
        except grpc.RpcError as error:
            end = typed_error(error, self._address)
        except InvalidReply as error:
            self._call.cancel()
            end = error
        except asyncio.CancelledError:  # how grpc.aio reports that the call was cancelled
            end = ServerUnavailable(f"the stream to {self._address} was closed")
        finally:
            self._end = end
            self._answers.put_nowait(None)
