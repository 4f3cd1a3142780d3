"""Strangers are turned away before their message is read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio
from handover_proto import NotAuthorised
from handover_proto.wire import ERROR_METADATA_KEY, encode_error

from handover_server.requests.observer import Observer
from handover_server.security.tokens import TokenCheck, bearer_token

_OPEN = "/grpc.health.v1.Health/"  # load balancers have no token, and it tells nothing but ready


class TokenInterceptor(aio.ServerInterceptor):
    """Asks every call but those of the health service for a token."""

    def __init__(self, tokens: TokenCheck, observer: Observer) -> None:
        self._tokens, self._observer = tokens, observer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Go on with the call, or refuse it with UNAUTHENTICATED."""
        if not handler_call_details.method.startswith(_OPEN):
            metadata = dict(handler_call_details.invocation_metadata or ())
            try:
                self._tokens.identify(bearer_token(metadata.get("authorization")))
            except NotAuthorised as error:
                self._observer.refused("unauthenticated")
                return _refusal(error)
        return await continuation(handler_call_details)


def _refusal(error: NotAuthorised) -> grpc.RpcMethodHandler:
    detail = encode_error(error)

    async def refuse(requests: object, context: aio.ServicerContext) -> None:
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            detail.message,
            ((ERROR_METADATA_KEY, detail.SerializeToString()),),
        )

    # as a stream's, whatever the call is: a stream's messages are read only when asked for
    return grpc.stream_stream_rpc_method_handler(refuse)  # type: ignore[arg-type]
