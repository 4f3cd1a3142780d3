"""Compressed frames: JPEG and PNG files of strangers, checked before a decoder sees them.

A decoder walks over a file's segments or chunks one by one, mostly in Python, and unpacks what the
header claims. So size, claimed pixels, segments and passes are bounded first.
"""

import io
import re
import struct
import zlib
from itertools import islice

import numpy as np
from PIL import Image as PillowImage

from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.types import ImageCodec

# Raised by Pillow for files that are cut short or damaged.
_BROKEN_IMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    PillowImage.DecompressionBombError,
)

_MAX_BYTES_PER_PIXEL = 4  # raw pixels take 3, and no encoder makes them more than a little larger
_MAX_METADATA = 256 * 1024  # camera data, a colour profile

# A progressive JPEG sends its image in passes, usually ten; each costs a walk over all its pixels,
# so that a small file of a million empty passes would keep a processor busy for hours.
_MAX_JPEG_SCANS = 100
_JPEG_SCAN = re.compile(b"\xff\xda")  # a third of the time of bytes.count
_MAX_SEGMENTS = 256  # of a JPEG before its pixels, padding bytes included; cameras write ten
_JPEG_START, _JPEG_BARE = b"\xff\xd8", {0x01, *range(0xD0, 0xD9)}  # markers without a length
_JPEG_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers; the others are tables
_SCAN_HEADER = 0xDA

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEAD = struct.Struct(">8s4x4sIIB")  # signature, length, IHDR, width, height, bit depth
_PNG_END = b"IEND"
_PNG_LENGTH = struct.Struct(">I")
_LEAST_CHUNK = 2048  # bytes, on average, beside _MAX_SEGMENTS small ones; encoders write 8192


def decode_file(image: pb.Image, path: str, max_pixels: int) -> np.ndarray:
    """Decompress an Image that is a JPEG or PNG file to (height, width, 3) uint8 RGB, read-only.

    Raises InvalidRequest for more than `max_pixels`, another size than the message names, a file
    that is not 8-bit RGB, broken, or larger or in more parts than its pixels can need.
    """
    name, data = ImageCodec(image.codec).name, image.data
    read_size = _jpeg_size if image.codec == pb.JPEG else _png_size
    height, width = read_size(data, path)
    check_pixels(height, width, path, max_pixels)
    most = _MAX_BYTES_PER_PIXEL * height * width + _MAX_METADATA
    if len(data) > most:
        raise InvalidRequest(
            f"{path}.data", f"at most {most} bytes of {name} for {height}x{width}", f"{len(data)}"
        )
    try:
        with PillowImage.open(io.BytesIO(data), formats=[name]) as file:
            if file.size != (width, height):
                raise _broken(name, data, "it has two sizes", path)
            if (image.height or height, image.width or width) != (height, width):
                raise InvalidRequest(
                    path,
                    f"the {name} file's size {height}x{width}, or 0x0",
                    f"{image.height}x{image.width}",
                )
            if file.mode != "RGB":
                raise InvalidRequest(f"{path}.data", "8-bit RGB", f"{name} of mode {file.mode}")
            return np.asarray(file)
    except _BROKEN_IMAGE as error:
        raise _broken(name, data, _reason(error), path) from None


def check_pixels(height: int, width: int, path: str, max_pixels: int) -> None:
    """Raise InvalidRequest unless there are 1 to `max_pixels` pixels."""
    if not 0 < height * width <= max_pixels:
        raise InvalidRequest(path, f"1 to {max_pixels} pixels", f"{height}x{width}")


def _jpeg_size(data: bytes, path: str) -> tuple[int, int]:
    """Return height and width of a JPEG file, whose parts before its pixels are few."""
    if not data.startswith(_JPEG_START):
        raise _broken("JPEG", data, "it does not begin like one", path)
    if next(islice(_JPEG_SCAN.finditer(data), _MAX_JPEG_SCANS, None), None) is not None:
        raise InvalidRequest(
            f"{path}.data", f"a JPEG file of at most {_MAX_JPEG_SCANS} scans", "more"
        )
    at, size = len(_JPEG_START), None
    for _ in range(_MAX_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            raise _broken("JPEG", data, "it is cut short or damaged", path)
        marker = data[at + 1]
        if marker == _SCAN_HEADER and size is not None:
            return size
        if marker in _JPEG_SIZE and at + 9 <= len(data):
            size = struct.unpack_from(">HH", data, at + 5)
        if marker in (0x00, 0xFF):  # padding
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise InvalidRequest(
        f"{path}.data", f"a JPEG file of at most {_MAX_SEGMENTS} segments before its pixels", "more"
    )


def _png_size(data: bytes, path: str) -> tuple[int, int]:
    """Return height and width of a PNG file, whose chunks are not too many for its bytes."""
    if not data.startswith(_PNG_START):
        raise _broken("PNG", data, "it does not begin like one", path)
    if len(data) < _PNG_HEAD.size:
        raise _broken("PNG", data, "it is cut short or damaged", path)
    _, kind, width, height, depth = _PNG_HEAD.unpack_from(data)
    if kind != b"IHDR":
        raise _broken("PNG", data, "it is cut short or damaged", path)
    if depth == 16:  # Pillow would drop the lower bits silently
        raise InvalidRequest(f"{path}.data", "8-bit RGB", "PNG of 16 bits")
    most = _MAX_SEGMENTS + len(data) // _LEAST_CHUNK
    at = len(_PNG_START)
    for _ in range(most):
        if at + 8 > len(data) or data.startswith(_PNG_END, at + 4):
            return height, width
        at += 12 + _PNG_LENGTH.unpack_from(data, at)[0]
    raise InvalidRequest(f"{path}.data", f"a PNG file of at most {most} chunks", "more")


def _broken(name: str, data: bytes, reason: str, path: str) -> InvalidRequest:
    return InvalidRequest(f"{path}.data", f"a whole {name} file", f"{len(data)} bytes ({reason})")


def _reason(error: Exception) -> str:
    """Describe Pillow's error in one line; for an unknown file format its text names an object."""
    if isinstance(error, PillowImage.UnidentifiedImageError):
        return "it does not begin like one"
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__
