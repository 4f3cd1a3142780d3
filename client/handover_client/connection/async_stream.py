"""Stream of observations to a policy server, for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
from handover_proto import (
    ActionPrefix,
    DeadlinePassed,
    ImageCodec,
    Observation,
    PolicyError,
    PolicyRequest,
    ServerInfo,
    ServerUnavailable,
    Superseded,
)

from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.requests import SealedRequest, StreamAnswer, read_answer, seal


class AsyncPolicyStream:
    """PolicyStream for asyncio: the same answers and errors; only `receive` is awaited."""

    def __init__(
        self, method: Callable[..., Any], info: ServerInfo, codec: ImageCodec, address: str
    ) -> None:
        self._info, self._codec, self._address = info, codec, address
        self._waiting: asyncio.Queue[SealedRequest] = asyncio.Queue(maxsize=1)
        self._answers: asyncio.Queue[StreamAnswer | None] = asyncio.Queue()
        self._end: PolicyError | None = None
        self._call = method(self._outgoing())
        self._reader = asyncio.get_running_loop().create_task(self._read())

    def send(
        self,
        observation: Observation,
        *,
        sequence: int,
        seed: int | None = None,
        client_tag: str = "",
        prefix: ActionPrefix | None = None,
        max_age_ms: int | None = None,
    ) -> None:
        """Send an observation, as PolicyStream.send; it leaves when the event loop is free."""
        request = PolicyRequest(observation, seed, sequence, client_tag, prefix, max_age_ms)
        sealed = seal(request, self._info, self._codec)
        if self._end is not None:
            raise self._end.with_traceback(None)  # a traceback grows each time, and holds frames
        if self._waiting.full():
            superseded = self._waiting.get_nowait()
            error = Superseded(f"a newer observation ({sequence}) took its place before it left")
            self._answers.put_nowait(
                StreamAnswer(superseded.sequence, superseded.client_tag, None, error)
            )
        self._waiting.put_nowait(sealed)

    async def receive(self, *, timeout_s: float) -> StreamAnswer:
        """Wait for the next answer; raises DeadlinePassed, or what ended the stream."""
        try:
            answer = await asyncio.wait_for(self._answers.get(), timeout_s)
        except asyncio.TimeoutError:
            raise DeadlinePassed(
                f"no answer from {self._address} on the stream within {timeout_s:g} s"
            ) from None
        if answer is None:
            self._answers.put_nowait(None)  # for the next call
            assert self._end is not None
            raise self._end.with_traceback(None)  # a traceback grows each time, and holds frames
        return answer

    async def close(self) -> None:
        """End the stream; what still waits is given up."""
        self._call.cancel()
        await self._reader

    async def __aenter__(self) -> "AsyncPolicyStream":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _outgoing(self) -> AsyncIterator[bytes]:
        while True:
            yield (await self._waiting.get()).data

    async def _read(self) -> None:
        end: PolicyError = ServerUnavailable(f"the server at {self._address} ended the stream")
        try:
            async for reply in self._call:
                self._answers.put_nowait(read_answer(reply, self._info.spec))
        except grpc.RpcError as error:
            end = typed_error(error, self._address)
        except (
            asyncio.CancelledError
        ):  # how grpc.aio reports that a call was cancelled to its reader
            end = ServerUnavailable(f"the stream to {self._address} was closed")
        finally:
            self._end = end
            self._answers.put_nowait(None)
