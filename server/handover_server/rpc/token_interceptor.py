"""Token check before a call's message is read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio
from handover_proto import NotAuthorised

from handover_server.requests.observer import Observer
from handover_server.rpc.replies import abort
from handover_server.security.tokens import TokenCheck, bearer_token

_OPEN = "/grpc.health.v1.Health/"  # load balancers have no token, and it only tells readiness


class TokenInterceptor(aio.ServerInterceptor):
    """Requires a token for every call except those of the health service."""

    def __init__(self, tokens: TokenCheck, observer: Observer) -> None:
        self._tokens, self._observer = tokens, observer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Continue the call, or refuse it with UNAUTHENTICATED."""
        if not handler_call_details.method.startswith(_OPEN):
            metadata = dict(handler_call_details.invocation_metadata or ())
            try:
                self._tokens.identify(bearer_token(metadata.get("authorization")))
            except NotAuthorised as error:
                self._observer.refused("unauthenticated")
                return _refusal(error)
        return await continuation(handler_call_details)


def _refusal(error: NotAuthorised) -> grpc.RpcMethodHandler:
    async def refuse(requests: object, context: aio.ServicerContext) -> None:
        await abort(context, error)

    # as a stream whatever the call is: a stream's messages are only read on request
    return grpc.stream_stream_rpc_method_handler(refuse)  # type: ignore[arg-type]
