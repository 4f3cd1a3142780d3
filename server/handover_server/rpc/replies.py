"""Outcomes as bytes: chunks, and errors that say what a client may know."""

import time

from handover_proto import ActionChunk, PolicyError, PolicyOutput, StageDurations
from handover_proto import policy_pb2 as pb
from handover_proto.wire import encode_chunk, encode_error

from handover_server.requests.observer import Observer
from handover_server.requests.request import PendingRequest
from handover_server.requests.wire_head import RequestHead


def chunk_reply(
    ticket: PendingRequest, head: RequestHead, output: PolicyOutput, observer: Observer
) -> bytes:
    """Serialise the answer to a request that succeeded."""
    began = time.perf_counter()
    policy = output.durations
    message = encode_chunk(
        ActionChunk(
            action=output.action,
            seed=ticket.seed,
            sequence=head.sequence,
            client_tag=head.client_tag,
            durations=StageDurations(
                queue_ms=ticket.queue_ms,
                decode_ms=ticket.decode_ms,
                preprocess_ms=policy.preprocess_ms,
                backbone_ms=policy.backbone_ms,
                action_head_ms=policy.action_head_ms,
            ),
            checkpoint_hash=ticket.checkpoint_hash,
        )
    )
    encode_ms = (time.perf_counter() - began) * 1e3
    message.durations.encode_ms = encode_ms
    observer.encoded(encode_ms)
    return message.SerializeToString()


def error_reply(head: RequestHead, error: PolicyError) -> bytes:
    """Serialise the answer, within a stream, to a request that failed."""
    return pb.InferReply(
        sequence=head.sequence, client_tag=head.client_tag, error=encode_error(error)
    ).SerializeToString()
