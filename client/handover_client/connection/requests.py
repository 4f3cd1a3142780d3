"""Requests and replies of every kind of call: serialized, measured and checked."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from handover_proto import (
    ActionChunk,
    EncodedImage,
    Frame,
    ImageCodec,
    InvalidRequest,
    PolicyError,
    PolicyRequest,
    PolicySpec,
    ServerInfo,
    UnmetPrecondition,
    are_finite,
    check_request,
)
from handover_proto import policy_pb2 as pb
from handover_proto.wire import compress, decode_chunk, decode_error, serialize_request

from handover_client.connection.readiness import check_text
from handover_client.errors import InvalidReply

LARGEST_NUMBER = 1e6  # of an action, in any unit; what is larger is no target of a robot
LONGEST_MS = 86_400_000.0  # a day


@dataclass(frozen=True)
class SealedRequest:
    """A serialized request, and what its answer has to echo."""

    data: bytes = field(repr=False)
    sequence: int
    client_tag: str

    @classmethod
    def of(cls, message: pb.InferRequest) -> "SealedRequest":
        """Serialise a message."""
        return cls(message.SerializeToString(), message.sequence, message.client_tag)


@dataclass(frozen=True)
class StreamAnswer:
    """A stream's answer to one request: its chunk, or why there is none."""

    sequence: int
    client_tag: str
    chunk: ActionChunk | None
    error: PolicyError | None

    def result(self) -> ActionChunk:
        """Return the chunk; raise the error where there is none."""
        if self.chunk is None:
            raise self.error or PolicyError("the stream gave neither a chunk nor an error")
        return self.chunk


def seal(request: PolicyRequest, info: ServerInfo, codec: ImageCodec) -> SealedRequest:
    """Serialise a request that the server will accept, frames compressed by `codec`.

    Raises InvalidRequest or UnmetPrecondition before anything is sent.
    """
    check_request(request, info.spec, info.limits)
    if codec is not ImageCodec.RAW_RGB8:
        request = _compress_frames(request, codec)
    sealed = SealedRequest(serialize_request(request), request.sequence, request.client_tag)
    size, limit = len(sealed.data), info.limits.max_message_bytes
    if size > limit:
        raise InvalidRequest("request", f"at most {limit} bytes", f"{size}; compress the images")
    return sealed


def check_codec(codec: ImageCodec, info: ServerInfo) -> None:
    """Raise UnmetPrecondition unless the server reads images of this codec."""
    if codec not in info.image_codecs:
        known = ", ".join(known.name for known in info.image_codecs) or "none"
        raise UnmetPrecondition(f"the server cannot read {codec.name} images, only {known}")


def _compress_frames(request: PolicyRequest, codec: ImageCodec) -> PolicyRequest:
    def small(frame: Frame) -> Frame:
        return frame if isinstance(frame, EncodedImage) else compress(frame, codec)

    cameras = {
        name: [small(frame) for frame in frames]
        for name, frames in request.observation.cameras.items()
    }
    observation = dataclasses.replace(request.observation, cameras=cameras)
    return dataclasses.replace(request, observation=observation)


def read_chunk(reply: pb.InferReply, request: SealedRequest, spec: PolicySpec) -> ActionChunk:
    """Read the reply to `request`: a chunk that is safe to play.

    Raises InvalidReply unless it has exactly the spec's groups, each (horizon, dim) float32 and
    finite, and echoes the request's sequence and tag.
    """
    chunk = _decode(reply)
    check_chunk(chunk, spec)
    for name in ("sequence", "client_tag"):
        sent, got = getattr(request, name), getattr(reply, name)
        if got != sent:
            raise InvalidReply(name, f"the request's {sent!r}", repr(got))
    return chunk


def read_answer(reply: pb.InferReply, spec: PolicySpec) -> StreamAnswer:
    """Read a stream's reply, which may be an error."""
    chunk, error = None, None
    if reply.HasField("error"):
        error = decode_error(reply.error)
    else:
        try:
            chunk = _decode(reply)
            check_chunk(chunk, spec)
        except InvalidReply as invalid:
            chunk, error = None, invalid
    return StreamAnswer(reply.sequence, reply.client_tag, chunk, error)


def _decode(reply: pb.InferReply) -> ActionChunk:
    try:
        return decode_chunk(reply)
    except InvalidRequest as error:  # the codec's word for bytes that do not fit their shape
        raise InvalidReply(error.field, error.expected, error.got) from None


def check_chunk(chunk: ActionChunk, spec: PolicySpec) -> None:
    """Raise InvalidReply unless a chunk, of whichever protocol, is one to play.

    It has exactly the spec's groups, each (horizon, dim) float32, finite and of a target's size.
    """
    wanted = {group.name: group.dim for group in spec.action}
    if set(chunk.action) != set(wanted):
        raise InvalidReply(
            "action", f"the groups {', '.join(wanted)}", ", ".join(sorted(chunk.action)) or "none"
        )
    for name, dim in wanted.items():
        values, shape = chunk.action[name], (spec.horizon, dim)
        if values.dtype != np.float32 or values.shape != shape:
            got = f"{values.dtype} {values.shape}"
            raise InvalidReply(f'action["{name}"]', f"float32 {shape}", got)
    if not are_finite(chunk.action.values()):
        name = next(name for name, values in chunk.action.items() if not are_finite([values]))
        raise InvalidReply(f'action["{name}"]', "finite numbers", "NaN or infinity")
    for name, values in chunk.action.items():
        largest = float(np.abs(values).max())
        if largest > LARGEST_NUMBER:
            raise InvalidReply(f'action["{name}"]', f"at most {LARGEST_NUMBER:g}", f"{largest:g}")
    for stage, took_ms in vars(chunk.durations).items():
        if not 0 <= took_ms <= LONGEST_MS:  # NaN is neither
            raise InvalidReply(f"durations.{stage}", f"0 to {LONGEST_MS:g} ms", f"{took_ms}")
    check_text("checkpoint_hash", chunk.checkpoint_hash)
