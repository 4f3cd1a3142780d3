"""Calls of the other services (health, reflection): their messages are small, or not looked at."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from handover_server.connections.guard import ConnectionGuard

_MOST_BYTES = 4096  # the name of a service or a file
_PAUSE_S = 20.0  # before a larger message is refused


@dataclass(frozen=True)
class _TooLarge:
    """What is read of a large message: its size in bytes."""

    size: int


class SmallCalls(aio.ServerInterceptor):
    """Tells the guard of every call but the policy's own, and reads no large message of one.

    gRPC's Python has one limit for the messages of all services. A health check's name of 31 MiB
    is refused, after a pause: its sender is no health check, and each costs the others some time.
    In a stream (reflection) it is read as the empty message.
    """

    def __init__(self, guard: ConnectionGuard, but: str) -> None:
        """but: the service that tells the guard itself."""
        self._guard, self._but = guard, f"/{but}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Continue the call."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(self._but):
            return handler
        kind = f"{_WORDS[handler.request_streaming]}_{_WORDS[handler.response_streaming]}"
        changes = {kind: self._noted(getattr(handler, kind))}
        if handler.request_deserializer is not None:
            large = b"" if handler.request_streaming else None
            changes["request_deserializer"] = _small(handler.request_deserializer, large)
        return handler._replace(**changes)

    def _noted(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Any, context: aio.ServicerContext) -> Any:
            await self._admit(request, context)
            return await behaviour(request, context)

        async def generate(request: Any, context: aio.ServicerContext) -> AsyncIterator[Any]:
            await self._admit(request, context)
            async for reply in behaviour(request, context):
                yield reply

        return generate if inspect.isasyncgenfunction(behaviour) else call

    async def _admit(self, request: Any, context: aio.ServicerContext) -> None:
        """Tell the guard, and refuse a large message after a pause."""
        if not isinstance(request, _TooLarge):
            self._guard.delivered(context.peer())
            return
        self._guard.delivered(context.peer(), request.size)  # else its connection would be shut
        await asyncio.sleep(_PAUSE_S)
        told = f"a message above {_MOST_BYTES} bytes, expected the name of a service or a file"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, told)


_WORDS = {False: "unary", True: "stream"}


def _small(deserialize: Callable[[bytes], Any], large: bytes | None) -> Callable[[bytes], Any]:
    """Read small messages; of a large one what `large` is, or its size."""

    def read(data: bytes) -> Any:
        if len(data) <= _MOST_BYTES:
            return deserialize(data)
        return _TooLarge(len(data)) if large is None else deserialize(large)

    return read
