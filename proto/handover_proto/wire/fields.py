"""Protobuf wire format for large fields, so that their bytes are copied only once.

Protobuf's own messages copy an image several times before it is serialized. The format is described
at protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Sequence

Part = bytes | memoryview
"""Bytes of a message; a memoryview has one axis, of bytes"""

_LENGTH_DELIMITED = 2  # the wire type of bytes, text and submessages


def field(number: int, parts: Sequence[Part]) -> list[Part]:
    """Join parts to one field of bytes, text or a submessage."""
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    """Encode seven bits per byte, lowest first; the highest bit marks that more bytes follow."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
