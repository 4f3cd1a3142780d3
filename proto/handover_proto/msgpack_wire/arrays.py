"""Arrays as both protocols put them into msgpack: views of the message's bytes, never pickled.

openpi: {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [...]}
Isaac-GR00T N1.6: {"__ndarray_class__": True, "as_npy": the bytes of a .npy file}
Isaac-GR00T N1.7: {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [...], b"data": bytes}
"""

import io
import math
import re
from typing import Any

import numpy as np

from handover_proto.errors import InvalidRequest

_DTYPE = re.compile(r"[<>|=]?[bfiu][1248]", re.ASCII)
_MAX_AXES = 8

# numpy reads only the header of a .npy file (as a literal, no code runs): np.load also opens zip
# files, unpickles, and allocates what the header claims before it looks at the bytes.
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_NPY_MAX_HEADER = 1024


def read_openpi_array(value: Any, path: str) -> np.ndarray:
    """Return openpi's form as an array over the message's bytes; raises InvalidRequest."""
    if not isinstance(value, dict) or b"__ndarray__" not in value:
        raise InvalidRequest(path, "an array as msgpack-numpy writes it", _kind(value))
    data, shape = value.get(b"data"), value.get(b"shape")
    if not isinstance(data, bytes) or not isinstance(shape, list) or not _is_shape(shape):
        raise InvalidRequest(path, "an array's data and shape", f"{_kind(data)}, {_kind(shape)}")
    return _over(data, 0, value.get(b"dtype"), tuple(shape), "C", path)


def openpi_array(array: np.ndarray) -> dict[bytes, Any]:
    """Return an array in openpi's form."""
    return {
        b"__ndarray__": True,
        b"data": array.tobytes(),
        b"dtype": array.dtype.str,
        b"shape": array.shape,
    }


def read_npy(value: Any, path: str) -> np.ndarray:
    """Return Isaac-GR00T's form as an array over the message's bytes; raises InvalidRequest."""
    data = value.get("as_npy") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        raise InvalidRequest(path, "an array as a .npy file", _kind(value))
    file = io.BytesIO(data)
    try:
        read_header = _NPY_HEADERS[np.lib.format.read_magic(file)]
        shape, is_fortran, dtype = read_header(file, max_header_size=_NPY_MAX_HEADER)
    except Exception as error:  # ValueError, and what Python's own parser raises of a header
        what = str(error).partition("\n")[0][:80]
        raise InvalidRequest(
            path, "a .npy file of numbers, version 1.0 or 2.0", f"{len(data)} bytes: {what}"
        ) from None
    if not _is_shape(list(shape)):
        raise InvalidRequest(path, "a shape of whole numbers", f"{shape}")
    return _over(data, file.tell(), dtype.str, shape, "F" if is_fortran else "C", path)


def npy(array: np.ndarray) -> dict[str, Any]:
    """Return an array in Isaac-GR00T's form."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": buffer.getvalue()}


def read_nd(value: Any, path: str) -> np.ndarray:
    """Return N1.7's form (msgpack-numpy's) as an array over the message's bytes.

    Raises InvalidRequest, also for the kinds that would be unpickled there.
    """
    if not isinstance(value, dict) or value.get(b"nd") is not True:
        raise InvalidRequest(path, "an array as msgpack-numpy writes it", _kind(value))
    data, shape = value.get(b"data"), value.get(b"shape")
    if value.get(b"kind", b"") not in (b"", ""):
        raise InvalidRequest(f"{path}.kind", "numbers or booleans", repr(value[b"kind"])[:40])
    if not isinstance(data, bytes) or not isinstance(shape, list) or not _is_shape(shape):
        raise InvalidRequest(path, "an array's data and shape", f"{_kind(data)}, {_kind(shape)}")
    return _over(data, 0, value.get(b"type"), tuple(shape), "C", path)


def nd(array: np.ndarray) -> dict[bytes, Any]:
    """Return an array in Isaac-GR00T N1.7's form."""
    return {
        b"nd": True,
        b"type": array.dtype.str,
        b"kind": b"",
        b"shape": array.shape,
        b"data": array.tobytes(),
    }


def as_float32(array: np.ndarray, path: str) -> np.ndarray:
    """Return float16, float32 or float64 as float32; raises InvalidRequest for anything else."""
    if array.dtype.kind != "f":
        raise InvalidRequest(path, "float32 or float64", str(array.dtype))
    with np.errstate(over="ignore"):  # becomes an infinity, which the next check refuses
        return array.astype(np.float32)


def read_seed(value: Any, path: str, bits: int) -> int | None:
    """Return an optional seed; raises InvalidRequest."""
    if value is not None and (type(value) is not int or not 0 <= value < 2**bits):
        raise InvalidRequest(path, f"an integer from 0 to 2^{bits}-1", repr(value)[:40])
    return value


def _over(
    data: bytes, begin: int, dtype_name: Any, shape: tuple[int, ...], order: Any, path: str
) -> np.ndarray:
    if isinstance(dtype_name, bytes):
        dtype_name = dtype_name.decode("ascii", errors="replace")
    try:
        known = isinstance(dtype_name, str) and _DTYPE.fullmatch(dtype_name)
        dtype = np.dtype(dtype_name) if known else None
    except TypeError:  # f1
        dtype = None
    if dtype is None:
        raise InvalidRequest(f"{path}.dtype", "numbers or booleans", repr(dtype_name)[:40])
    size = math.prod(shape) * dtype.itemsize  # Python integers: nothing overflows
    if size != len(data) - begin or len(shape) > _MAX_AXES:
        raise InvalidRequest(path, f"{size} bytes for {dtype} {shape}", f"{len(data) - begin}")
    try:
        return np.frombuffer(
            data, dtype, offset=begin if size else 0, count=size // dtype.itemsize
        ).reshape(shape, order=order)
    except ValueError:  # an empty array whose other axes are more than numpy can count
        raise InvalidRequest(f"{path}.shape", "a shape that fits into memory", f"{shape}") from None


def _is_shape(axes: list[Any]) -> bool:
    return all(type(axis) is int and axis >= 0 for axis in axes)


def _kind(value: Any) -> str:
    return type(value).__name__
