"""Encoding of arrays and images; checks come before anything is allocated or decompressed.

Every error is an InvalidRequest naming the field's path, so both sides use the same functions.
"""

import io
import math
import re
import struct
import zlib
from collections.abc import Callable
from itertools import islice

import numpy as np
from PIL import Image as PillowImage

from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.types import EncodedImage, Frame, ImageCodec
from handover_proto.wire.fields import Part, field

_DTYPES = {
    pb.FLOAT32: np.dtype("<f4"),
    pb.FLOAT64: np.dtype("<f8"),
    pb.FLOAT16: np.dtype("<f2"),
    pb.UINT8: np.dtype("u1"),
    pb.INT8: np.dtype("i1"),
    pb.UINT16: np.dtype("<u2"),
    pb.INT16: np.dtype("<i2"),
    pb.UINT32: np.dtype("<u4"),
    pb.INT32: np.dtype("<i4"),
    pb.UINT64: np.dtype("<u8"),
    pb.INT64: np.dtype("<i8"),
    pb.BOOL: np.dtype("?"),
}
_ENUM_OF = {dtype: number for number, dtype in _DTYPES.items()}
_MAX_AXES = 8

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

# A progressive JPEG sends its image in passes, usually ten; each costs a walk over all its pixels,
# so that a small file of a million empty passes would keep a processor busy for hours.
_MAX_JPEG_SCANS = 100
_JPEG_SCAN = re.compile(b"\xff\xda")  # a third of the time of bytes.count
_PNG_BIT_DEPTH = slice(24, 25)  # signature 8, chunk head 8, width 4, height 4


def encode_tensor(array: np.ndarray) -> pb.Tensor:
    """Encode an array of any dtype of policy.proto as a Tensor.

    Raises InvalidRequest for another dtype (object, string, complex) or more than 8 axes.
    """
    tensor = pb.Tensor()
    fill_tensor(tensor, array)
    return tensor


def fill_tensor(tensor: pb.Tensor, array: np.ndarray) -> None:
    """Write an array into an empty Tensor, like encode_tensor, without a copy of the message."""
    array = np.asarray(array)
    number = _ENUM_OF.get(array.dtype)
    if number is None:
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        number = _ENUM_OF.get(array.dtype)
    if number is None or array.ndim > _MAX_AXES:
        known = ", ".join(str(known) for known in _ENUM_OF)
        raise InvalidRequest(
            "tensor", f"one of {known} with at most {_MAX_AXES} axes", f"{array.dtype} {array.ndim}"
        )
    tensor.dtype, tensor.data = number, array.tobytes()
    tensor.shape.extend(array.shape)


def decode_tensor(tensor: pb.Tensor, path: str) -> np.ndarray:
    """Decode a Tensor to a read-only array over its bytes.

    Raises InvalidRequest when dtype, shape and number of bytes do not agree.
    """
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise InvalidRequest(
            f"{path}.dtype", f"one of {', '.join(pb.DType.keys()[1:])}", _enum_name(tensor.dtype)
        )
    if len(tensor.shape) > _MAX_AXES:
        raise InvalidRequest(
            f"{path}.shape", f"at most {_MAX_AXES} axes", f"{len(tensor.shape)} axes"
        )
    shape, data = tuple(tensor.shape), tensor.data  # each access to the field copies its bytes
    size = math.prod(shape) * dtype.itemsize  # Python integers do not overflow
    if size != len(data):
        raise InvalidRequest(
            f"{path}.data", f"{size} bytes for {dtype} {shape}", f"{len(data)} bytes"
        )
    if dtype.kind == "b" and data.translate(None, b"\x00\x01"):
        raise InvalidRequest(f"{path}.data", "bytes 0 or 1 for bool", "other bytes")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError:  # an empty array whose other axes are beyond numpy's range
        raise InvalidRequest(f"{path}.shape", "a shape that fits into memory", f"{shape}") from None


def _enum_name(number: int) -> str:
    return "DTYPE_UNSPECIFIED" if number == 0 else f"unknown number {number}"


def encode_frame(frame: Frame) -> pb.Image:
    """Encode (height, width, 3) uint8, or a compressed file, as an Image; pixels stay as given."""
    return pb.Image.FromString(b"".join(lay_out_image(frame)))


def lay_out_image(frame: Frame) -> list[Part]:
    """Return the parts of a serialized Image, like encode_frame, without a copy of the pixels."""
    if isinstance(frame, EncodedImage):
        head, data = pb.Image(codec=int(frame.codec)), frame.data  # type: ignore[arg-type]
    else:
        height, width = frame.shape[:2]
        head = pb.Image(codec=pb.RAW_RGB8, height=height, width=width)
        data = np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data
    return [head.SerializeToString(), *field(pb.Image.DATA_FIELD_NUMBER, [data])]


def compress(frame: np.ndarray, codec: ImageCodec, quality: int = 90) -> EncodedImage:
    """Compress (height, width, 3) uint8 RGB as PNG (lossless) or JPEG of `quality` 1 … 95."""
    if codec not in (ImageCodec.JPEG, ImageCodec.PNG):
        raise ValueError(f"cannot compress as {codec!r}; send the array itself, or use JPEG or PNG")
    buffer = io.BytesIO()
    PillowImage.fromarray(frame).save(buffer, codec.name, quality=quality)
    return EncodedImage(codec, buffer.getvalue())


def decode_image(image: pb.Image, path: str, max_pixels: int) -> np.ndarray:
    """Decode an Image to a read-only (height, width, 3) uint8 RGB array.

    The number of pixels is checked by the claimed size or the file's header, before decompression.
    Raises InvalidRequest for an unknown codec, another length or size, a broken file, or a file
    that is not 8-bit RGB.
    """
    decode = _IMAGE_DECODERS.get(image.codec)
    if decode is None:
        got = "IMAGE_CODEC_UNSPECIFIED" if image.codec == 0 else f"unknown number {image.codec}"
        raise InvalidRequest(f"{path}.codec", "RAW_RGB8, JPEG or PNG", got)
    return decode(image, path, max_pixels)


def _decode_raw(image: pb.Image, path: str, max_pixels: int) -> np.ndarray:
    height, width, data = image.height, image.width, image.data
    _check_pixels(height, width, path, max_pixels)
    size = height * width * 3
    if size != len(data):
        raise InvalidRequest(
            f"{path}.data", f"{size} bytes for {height}x{width} RAW_RGB8", f"{len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _decode_file(image: pb.Image, path: str, max_pixels: int) -> np.ndarray:
    name, data = ImageCodec(image.codec).name, image.data
    _check_file(image.codec, data, path)
    try:
        with PillowImage.open(io.BytesIO(data), formats=[name]) as file:
            width, height = file.size
            _check_pixels(height, width, path, max_pixels)
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
        raise InvalidRequest(
            f"{path}.data", f"a whole {name} file", f"{len(data)} bytes ({_reason(error)})"
        ) from None


def _reason(error: Exception) -> str:
    """Describe Pillow's error in one line; for an unknown file format its text names an object."""
    if isinstance(error, PillowImage.UnidentifiedImageError):
        return "it does not begin like one"
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__


def _check_file(codec: int, data: bytes, path: str) -> None:
    if codec == pb.JPEG:
        if next(islice(_JPEG_SCAN.finditer(data), _MAX_JPEG_SCANS, None), None) is not None:
            raise InvalidRequest(
                f"{path}.data", f"a JPEG file of at most {_MAX_JPEG_SCANS} scans", "more"
            )
    elif data[_PNG_BIT_DEPTH] == b"\x10":  # Pillow would drop the lower bits silently
        raise InvalidRequest(f"{path}.data", "8-bit RGB", "PNG of 16 bits")


def _check_pixels(height: int, width: int, path: str, max_pixels: int) -> None:
    if not 0 < height * width <= max_pixels:
        raise InvalidRequest(path, f"1 to {max_pixels} pixels", f"{height}x{width}")


_IMAGE_DECODERS: dict[int, Callable[[pb.Image, str, int], np.ndarray]] = {
    pb.RAW_RGB8: _decode_raw,
    pb.JPEG: _decode_file,
    pb.PNG: _decode_file,
}
