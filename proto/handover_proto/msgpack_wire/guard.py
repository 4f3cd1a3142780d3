"""Guard for msgpack from untrusted clients: parts are counted before any object is made.

As with protobuf (requests.wire_head), a small message can hold millions of objects. So one pass
that skips pixels comes first, and limits the number of parts and their nesting.
"""

from typing import Any

import msgpack

from handover_proto.errors import InvalidRequest
from handover_proto.types import MAX_MESSAGE_BYTES

MAX_PARTS = 4096  # of one message; an observation of three cameras has under 100
MAX_DEPTH = 16

# The first bytes of the formats, from github.com/msgpack/msgpack/blob/master/spec.md. Extension
# types (0xc7 … 0xc9, 0xd4 … 0xd8) are in neither protocol, and refused here.
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # first byte -> bytes of the length
_ARRAY = {0xDC: 2, 0xDD: 4}
_MAP = {0xDE: 2, 0xDF: 4}


def unpack(data: bytes) -> Any:
    """Decode one msgpack object; raises InvalidRequest naming what is wrong."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise InvalidRequest("message", f"at most {MAX_MESSAGE_BYTES} bytes", f"{len(data)}")
    _walk(data)
    try:
        return msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _malformed(data, str(error).partition("\n")[0][:80]) from None


def pack(value: Any) -> bytes:
    """Encode our own messages as msgpack."""
    packed = msgpack.packb(value)
    assert packed is not None, "packb gives bytes unless it was given a stream"
    return packed


def _walk(data: bytes) -> None:
    """Raise InvalidRequest unless `data` is one object within the limits."""
    at, parts, open_parts = 0, 0, [1]  # number of parts still to come in each open part
    while open_parts:
        if not open_parts[-1]:
            open_parts.pop()
            continue
        open_parts[-1] -= 1
        parts += 1
        if at >= len(data):
            raise _malformed(data, "it ends too early")
        at, inner = _part(data, at)
        if inner:
            open_parts.append(inner)
        if parts > MAX_PARTS or inner > MAX_PARTS or len(open_parts) > MAX_DEPTH:
            raise _malformed(data, f"more than {MAX_PARTS} parts or {MAX_DEPTH} levels")
    if at != len(data):
        raise _malformed(data, f"{len(data) - at} bytes after its end")


def _part(data: bytes, at: int) -> tuple[int, int]:
    """Return where the part at `at` ends, or where its own parts begin, and their number."""
    first = data[at]
    at += 1
    if first < 0x80 or first >= 0xE0:
        return at, 0
    if first < 0x90:
        return at, 2 * (first & 0x0F)
    if first < 0xA0:
        return at, first & 0x0F
    if first < 0xC0:
        return _skip(data, at, first & 0x1F), 0
    if first in _FIXED:
        return _skip(data, at, _FIXED[first]), 0
    width = _BYTES.get(first) or _ARRAY.get(first) or _MAP.get(first)
    if width is None:
        raise _malformed(data, f"a part of the unknown type 0x{first:02x}")
    begin = _skip(data, at, width)
    count = int.from_bytes(data[at:begin], "big")
    if first in _BYTES:
        return _skip(data, begin, count), 0
    return begin, count if first in _ARRAY else 2 * count


def _skip(data: bytes, at: int, size: int) -> int:
    if size > len(data) - at:
        raise _malformed(data, f"a part claims {size} bytes where {len(data) - at} are left")
    return at + size


def _malformed(data: bytes, reason: str) -> InvalidRequest:
    return InvalidRequest("message", "one msgpack object", f"{len(data)} bytes: {reason}")
