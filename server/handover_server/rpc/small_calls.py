"""Calls of the other services (health, reflection): their messages are small, or not looked at."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from handover_server.connections.guard import ConnectionGuard

_MOST_BYTES = 4096  # the name of a service or a file


class SmallCalls(aio.ServerInterceptor):
    """Tells the guard of every call but the policy's own, and reads no large message of one.

    A health check's name of 31 MiB is read as the empty message of the call: gRPC's Python has one
    limit for the messages of all services.
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
            changes["request_deserializer"] = _small(handler.request_deserializer)
        return handler._replace(**changes)

    def _noted(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Any, context: aio.ServicerContext) -> Any:
            self._guard.delivered(context.peer())
            return await behaviour(request, context)

        async def generate(request: Any, context: aio.ServicerContext) -> AsyncIterator[Any]:
            self._guard.delivered(context.peer())
            async for reply in behaviour(request, context):
                yield reply

        return generate if inspect.isasyncgenfunction(behaviour) else call


_WORDS = {False: "unary", True: "stream"}


def _small(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    return lambda data: deserialize(data if len(data) <= _MOST_BYTES else b"")
