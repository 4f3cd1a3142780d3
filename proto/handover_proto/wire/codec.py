"""Encoding of arrays and images; checks come before anything is allocated or decompressed.

Every error is an InvalidRequest naming the field's path, so both sides use the same functions.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage

from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.types import EncodedImage, Frame, ImageCodec
from handover_proto.wire.fields import Part, field
from handover_proto.wire.image_files import check_pixels, decode_file

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
    check_pixels(height, width, path, max_pixels)
    size = height * width * 3
    if size != len(data):
        raise InvalidRequest(
            f"{path}.data", f"{size} bytes for {height}x{width} RAW_RGB8", f"{len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


_IMAGE_DECODERS: dict[int, Callable[[pb.Image, str, int], np.ndarray]] = {
    pb.RAW_RGB8: _decode_raw,
    pb.JPEG: decode_file,
    pb.PNG: decode_file,
}
