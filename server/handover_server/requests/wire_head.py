"""Head of a serialized request, read before parsing: number of fields, sequence, tag, maximum age.

Parsing costs memory and time per field, not per byte: 32 MiB of empty images become a gigabyte of
objects and three seconds in which nothing else runs. So the fields are counted first, in one pass
that skips pixels.
"""

from typing import Any

from handover_proto import MAX_TAG_BYTES, InvalidRequest
from handover_proto import policy_pb2 as pb

MAX_FIELDS = 4096  # of one message; an observation of three cameras has under 100
# Wire types, from protobuf.dev/programming-guides/encoding. Groups (3, 4) are not in proto3.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SEQUENCE = pb.InferRequest.SEQUENCE_FIELD_NUMBER
_CLIENT_TAG = pb.InferRequest.CLIENT_TAG_FIELD_NUMBER
_MAX_AGE_MS = pb.InferRequest.MAX_AGE_MS_FIELD_NUMBER
_CODEC = pb.Image.CODEC_FIELD_NUMBER

# {field number: the layout of the message in that field; None where its bytes are many numbers}
_Layout = dict[int, Any]
_MAP_VALUE = 2
_TENSOR: _Layout = {pb.Tensor.SHAPE_FIELD_NUMBER: None}
_IMAGE: _Layout = {}
_CAMERA: _Layout = {pb.CameraFrames.FRAMES_FIELD_NUMBER: _IMAGE}
_OBSERVATION: _Layout = {
    pb.Observation.CAMERAS_FIELD_NUMBER: {_MAP_VALUE: _CAMERA},
    pb.Observation.STATE_FIELD_NUMBER: {_MAP_VALUE: _TENSOR},
}
REQUEST_LAYOUT: _Layout = {
    pb.InferRequest.OBSERVATION_FIELD_NUMBER: _OBSERVATION,
    pb.InferRequest.PREFIX_FIELD_NUMBER: {
        pb.ActionPrefix.ACTION_FIELD_NUMBER: {_MAP_VALUE: _TENSOR}
    },
}


class RequestHead:
    """Sequence, tag and maximum age of a serialized InferRequest, as far as they could be read.

    Every reply echoes the first two, even for a request that cannot be parsed; the age must be
    known before anything is spent on the request, and whether an image is compressed decides
    where it is decoded.
    """

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.is_compressed = False
        self.client_tag = ""
        self.max_age_ms: int | None = None
        self._fields = 0

    def read(self, data: bytes) -> None:
        """Walk over `data` and fill in this head.

        Raises InvalidRequest when it is not a protobuf message or has more than MAX_FIELDS fields;
        what stands before that point has been read by then.
        """
        try:
            self._walk(data, 0, len(data), REQUEST_LAYOUT, depth=0)
        except IndexError:
            raise _malformed(data, "ends in the middle of a number") from None

    def deadline(self, now: float, call_deadline: float | None) -> float | None:
        """Return when the reply becomes useless: at the call's deadline, or the maximum age before.

        now: seconds of time.monotonic(), as are both deadlines; None for never
        """
        if self.max_age_ms is None:
            return call_deadline
        age_deadline = now + self.max_age_ms / 1e3
        return age_deadline if call_deadline is None else min(age_deadline, call_deadline)

    def _walk(self, data: bytes, at: int, end: int, layout: _Layout, depth: int) -> None:
        while at < end:
            self._count(1)
            key, at = _varint(data, at)
            number, wire_type = key >> 3, key & 7
            if wire_type == _VARINT:
                value, at = _varint(data, at)
                if layout is _IMAGE:
                    self.is_compressed |= number == _CODEC and value != pb.RAW_RGB8
                elif depth == 0 and number == _SEQUENCE:
                    self.sequence = value & 0xFFFF_FFFF_FFFF_FFFF
                elif depth == 0 and number == _MAX_AGE_MS:
                    self.max_age_ms = value & 0xFFFF_FFFF
            elif wire_type == _BYTES:
                size, at = _varint(data, at)
                if size > end - at:
                    raise _malformed(data, f"a part claims {size} bytes where {end - at} are left")
                self._enter(data, at, at + size, number, layout, depth)
                at += size
            elif wire_type in (_FIXED64, _FIXED32):
                at += 8 if wire_type == _FIXED64 else 4
            else:
                raise _malformed(data, f"wire type {wire_type} at byte {at}")
        if at != end:
            raise _malformed(data, f"a part ends {at - end} bytes after what holds it")

    def _enter(
        self, data: bytes, at: int, end: int, number: int, layout: _Layout, depth: int
    ) -> None:
        if number in layout:
            inner = layout[number]
            if inner is None:
                self._count(end - at)  # each number of a packed list takes at least one byte
            else:
                self._walk(data, at, end, inner, depth + 1)
        elif depth == 0 and number == _CLIENT_TAG:
            tag = data[at : min(end, at + MAX_TAG_BYTES)]  # one too long is refused, but echoed
            self.client_tag = tag.decode(errors="replace")

    def _count(self, fields: int) -> None:
        self._fields += fields
        if self._fields > MAX_FIELDS:
            raise InvalidRequest("message", f"at most {MAX_FIELDS} fields", "more")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and the offset after it; IndexError where the bytes end."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    raise _malformed(data, f"a number of over ten bytes ends at byte {at}")


def _malformed(data: bytes, reason: str) -> InvalidRequest:
    return InvalidRequest("message", "a serialized InferRequest", f"{len(data)} bytes: {reason}")
