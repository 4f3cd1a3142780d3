"""Replies: chunks as bytes, and errors with what the client may know."""

import time
from typing import NoReturn

import grpc
from grpc import aio
from handover_proto import ActionChunk, PolicyError, PolicyOutput
from handover_proto import policy_pb2 as pb
from handover_proto.wire import ERROR_METADATA_KEY, encode_chunk, encode_error

from handover_server.requests.observer import Observer
from handover_server.requests.outcome import without_frames
from handover_server.requests.request import PendingRequest
from handover_server.requests.wire_head import RequestHead

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def chunk_reply(
    pending: PendingRequest, head: RequestHead, output: PolicyOutput, observer: Observer
) -> bytes:
    """Serialize the reply to a request that succeeded."""
    began = time.perf_counter()
    message = encode_chunk(
        ActionChunk(
            action=output.action,
            seed=pending.seed,
            sequence=head.sequence,
            client_tag=head.client_tag,
            durations=pending.durations(output),
            checkpoint_hash=pending.checkpoint_hash,
            prefix_method=output.prefix_method,
        )
    )
    encode_ms = (time.perf_counter() - began) * 1e3
    message.durations.encode_ms = encode_ms
    observer.encoded(encode_ms)
    return message.SerializeToString()


def error_reply(head: RequestHead, error: PolicyError) -> bytes:
    """Serialize the reply, within a stream, to a request that failed."""
    return pb.InferReply(
        sequence=head.sequence, client_tag=head.client_tag, error=encode_error(error)
    ).SerializeToString()


async def abort(context: aio.ServicerContext, error: PolicyError) -> NoReturn:
    """End a call with an error: its status, and its details in the trailing metadata."""
    detail = encode_error(error)
    without_frames(error)
    await context.abort(
        _CODES[error.status], detail.message, ((ERROR_METADATA_KEY, detail.SerializeToString()),)
    )
    raise AssertionError("abort raises")
