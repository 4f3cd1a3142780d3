"""PolicyService over grpc.aio: every call ends with a chunk or one of Handover's errors."""

import time
from collections.abc import AsyncIterator
from functools import partial

import grpc
from grpc import aio
from handover_proto import InvalidRequest, PolicyError, ServerUnavailable
from handover_proto import policy_pb2 as pb
from handover_proto.wire import encode_info

from handover_server.connections.guard import ConnectionGuard
from handover_server.inference.admission import Admission
from handover_server.requests.outcome import record_incident
from handover_server.requests.request import Lane
from handover_server.requests.wire_head import RequestHead
from handover_server.rpc.replies import abort, chunk_reply
from handover_server.rpc.stream import StreamSession
from handover_server.security.tokens import Identity, TokenCheck, bearer_token

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name


class PolicyService:
    """The three calls of policy.proto, on bytes: parsed here, so that errors name the field."""

    def __init__(self, tokens: TokenCheck, guard: ConnectionGuard) -> None:
        self._tokens, self._guard = tokens, guard
        self._admission: Admission | None = None
        self._info = b""
        self._sessions: set[StreamSession] = set()

    def open(self, admission: Admission) -> None:
        """Start answering; until then every call ends with ServerUnavailable."""
        self._info = encode_info(admission.info).SerializeToString()
        self._admission = admission

    def close(self) -> None:
        """Refuse new requests and let streams end after what they have in flight."""
        if self._admission is not None:
            self._admission.close()
        for session in self._sessions:
            session.stop_reading()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers for a grpc.aio server."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "GetInfo": grpc.unary_unary_rpc_method_handler(self.get_info),
                "Infer": grpc.unary_unary_rpc_method_handler(self.infer),
                "InferStream": grpc.stream_stream_rpc_method_handler(self.infer_stream),
            },
        )

    async def get_info(self, data: bytes, context: aio.ServicerContext) -> bytes:
        """Return the policy's spec and the server's limits."""
        del data  # an empty message, whatever its length
        self._guard.delivered(context.peer())
        try:
            self._client(context)
            self._opened()
            return self._info
        except PolicyError as error:
            await abort(context, error)

    async def infer(self, data: bytes, context: aio.ServicerContext) -> bytes:
        """Answer one observation with one chunk."""
        self._guard.delivered(context.peer(), len(data))
        try:
            client = self._client(context)
            admission = self._opened()
        except PolicyError as error:
            del data  # no traceback keeps it
            await abort(context, error)
        size = len(data)
        try:
            head = RequestHead()
            admission.read_head(head, data)
            deadline = head.deadline(time.monotonic(), _deadline(context))
            admitted = admission.admit(data, head, Lane(client), deadline)
            data = b""  # the pending request releases it when it is decoded
            pending, outcome = await admitted
            answer: bytes | PolicyError
            if isinstance(outcome, PolicyError):
                answer = outcome
            else:
                answer = chunk_reply(pending, head, outcome, admission.observer)
        except PolicyError as error:
            answer = error
        except Exception as error:
            answer = record_incident("answering a request failed", error)
        data = b""  # nor is it kept by the traceback of what abort raises
        await admission.paces.keep(client, size, isinstance(answer, InvalidRequest))
        if isinstance(answer, bytes):
            return answer
        await abort(context, answer)

    async def infer_stream(
        self, requests: AsyncIterator[bytes], context: aio.ServicerContext
    ) -> None:
        """Answer a stream of observations; the newest wins, each gets a chunk or an error."""
        session = None
        try:
            client = self._client(context)
            admission = self._opened()
            with admission.stream(client) as lane:
                session = StreamSession(
                    admission, lane, context, _deadline(context), partial(self._arrived, context)
                )
                self._sessions.add(session)
                await session.run(requests)
        except PolicyError as error:
            await abort(context, error)
        except Exception as error:
            await abort(context, record_incident("a stream failed", error))
        finally:
            self._sessions.discard(session)

    def _arrived(self, context: aio.ServicerContext, size: int) -> None:
        """Note a stream's message of `size` bytes; raises NotAuthorised for a revoked token."""
        self._guard.delivered(context.peer(), size)
        self._client(context)

    def _client(self, context: aio.ServicerContext) -> Identity:
        """Return whose call it is; raises NotAuthorised."""
        metadata = dict(context.invocation_metadata() or ())
        return self._tokens.identify(bearer_token(metadata.get("authorization")), context.peer())

    def _opened(self) -> Admission:
        if self._admission is None:
            raise ServerUnavailable("the server is starting: its policy is being loaded")
        return self._admission


def _deadline(context: aio.ServicerContext) -> float | None:
    remaining_s = context.time_remaining()
    return None if remaining_s is None else time.monotonic() + remaining_s
