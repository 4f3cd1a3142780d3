"""Protobuf's wire format, as far as large fields are laid out with it: their bytes are copied once.

Protobuf's own messages copy an image several times until it is serialised. The format is described
at protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Sequence

Part = bytes | memoryview
"""Bytes of a message; a memoryview has one axis, of bytes"""

_LENGTH_DELIMITED = 2  # the wire type of bytes, text and submessages


def field(number: int, parts: Sequence[Part]) -> list[Part]:
    """Put parts into one field of bytes, of text or of a submessage."""
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
