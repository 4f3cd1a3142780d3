"""PolicyService over grpc.aio: every call ends in a chunk or in one of our errors."""

import time
from collections.abc import AsyncIterator

import grpc
from grpc import aio
from handover_proto import PolicyError, ServerUnavailable
from handover_proto import policy_pb2 as pb
from handover_proto.wire import ERROR_METADATA_KEY, encode_error, encode_info

from handover_server.inference.admission import Admission
from handover_server.requests.incident import record_incident
from handover_server.requests.request import Lane
from handover_server.requests.wire_head import RequestHead
from handover_server.rpc.replies import chunk_reply
from handover_server.rpc.stream import StreamSession
from handover_server.security.tokens import Identity, TokenCheck, bearer_token

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class PolicyService:
    """The three calls of policy.proto, on bytes: we parse, so that we say what is wrong."""

    def __init__(self, tokens: TokenCheck) -> None:
        self._tokens = tokens
        self._intake: Admission | None = None
        self._info = b""
        self._sessions: set[StreamSession] = set()

    def open(self, intake: Admission) -> None:
        """Start answering; until then every call is told that the server is starting."""
        self._info = encode_info(intake.info).SerializeToString()
        self._intake = intake

    def close(self) -> None:
        """Refuse what is new and let streams end after what they have under way."""
        if self._intake is not None:
            self._intake.close()
        for session in self._sessions:
            session.stop_reading()

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a grpc.aio server is to be given."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "GetInfo": grpc.unary_unary_rpc_method_handler(self.get_info),
                "Infer": grpc.unary_unary_rpc_method_handler(self.infer),
                "InferStream": grpc.stream_stream_rpc_method_handler(self.infer_stream),
            },
        )

    async def get_info(self, data: bytes, context: aio.ServicerContext) -> bytes:
        """What is served."""
        try:
            self._client(context)
            self._opened()
            return self._info
        except PolicyError as error:
            return await _abort(context, error)

    async def infer(self, data: bytes, context: aio.ServicerContext) -> bytes:
        """One observation in, one chunk out."""
        try:
            client = self._client(context)
            intake = self._opened()
            head = RequestHead()
            intake.read_head(head, data)
            deadline = head.deadline(time.monotonic(), _deadline(context))
            entered = intake.enter(data, head, Lane(client), deadline)
            del data  # the ticket lets go of it when it is decoded
            ticket, outcome = await entered
            if isinstance(outcome, PolicyError):
                raise outcome
            return chunk_reply(ticket, head, outcome, intake.observer)
        except PolicyError as error:
            return await _abort(context, error)
        except Exception as error:
            return await _abort(context, record_incident("answering a request failed", error))

    async def infer_stream(
        self, requests: AsyncIterator[bytes], context: aio.ServicerContext
    ) -> None:
        """Many observations in, of which the newest counts; a chunk or an error for each."""
        session = None
        try:
            client = self._client(context)
            intake = self._opened()
            with intake.stream(client) as lane:
                session = StreamSession(
                    intake, lane, context, _deadline(context), lambda: self._client(context)
                )
                self._sessions.add(session)
                await session.run(requests)
        except PolicyError as error:
            await _abort(context, error)
        except Exception as error:
            await _abort(context, record_incident("a stream failed", error))
        finally:
            self._sessions.discard(session)

    def _client(self, context: aio.ServicerContext) -> Identity:
        """Who asks; raises NotAuthorised."""
        metadata = dict(context.invocation_metadata() or ())
        return self._tokens.identify(bearer_token(metadata.get("authorization")), context.peer())

    def _opened(self) -> Admission:
        if self._intake is None:
            raise ServerUnavailable("the server is starting: its policy is being loaded")
        return self._intake


def _deadline(context: aio.ServicerContext) -> float | None:
    remaining_s = context.time_remaining()
    return None if remaining_s is None else time.monotonic() + remaining_s


async def _abort(context: aio.ServicerContext, error: PolicyError) -> bytes:
    detail = encode_error(error)
    await context.abort(
        _CODES[error.status],
        detail.message,
        ((ERROR_METADATA_KEY, detail.SerializeToString()),),
    )
    raise AssertionError("abort raises")
