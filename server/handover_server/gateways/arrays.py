"""Arrays as both protocols put them into msgpack: over the message's bytes, and never by pickle.

openpi: {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [...]}
Isaac-GR00T: {"__ndarray_class__": True, "as_npy": the bytes of a .npy file}
"""

import io
import math
import re
from typing import Any

import numpy as np
from handover_proto import InvalidRequest

_DTYPE = re.compile(r"[<>|=]?[bfiu][1248]", re.ASCII)
_MAX_AXES = 8

# What numpy writes for an array of numbers (numpy.lib.format, versions 1.0 and 2.0). Read by this
# pattern, because numpy's own reader evaluates the header as Python, opens zip files, and allocates
# what the header claims before it looks at the bytes.
_NPY_MAGIC = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}  # -> bytes of the header's length
_NPY_MAX_HEADER = 1024
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[a-zA-Z][0-9]+)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), ?\} *\n?"
)


def read_openpi_array(value: Any, path: str) -> np.ndarray:
    """Turn openpi's form into an array over the message's bytes; raises InvalidRequest."""
    if not isinstance(value, dict) or b"__ndarray__" not in value:
        raise InvalidRequest(path, "an array as msgpack-numpy writes it", _kind(value))
    data, shape = value.get(b"data"), value.get(b"shape")
    if not isinstance(data, bytes) or not isinstance(shape, list) or not _is_shape(shape):
        raise InvalidRequest(path, "an array's data and shape", f"{_kind(data)}, {_kind(shape)}")
    return _over(data, 0, value.get(b"dtype"), tuple(shape), "C", path)


def openpi_array(array: np.ndarray) -> dict[bytes, Any]:
    """Turn an array into openpi's form."""
    return {
        b"__ndarray__": True,
        b"data": array.tobytes(),
        b"dtype": array.dtype.str,
        b"shape": array.shape,
    }


def read_npy(value: Any, path: str) -> np.ndarray:
    """Turn Isaac-GR00T's form into an array over the message's bytes; raises InvalidRequest."""
    data = value.get("as_npy") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        raise InvalidRequest(path, "an array as a .npy file", _kind(value))
    width = _NPY_MAGIC.get(data[:8])
    if width is None:
        raise InvalidRequest(path, "a .npy file of version 1.0 or 2.0", f"{len(data)} other bytes")
    begin = 8 + width
    end = begin + int.from_bytes(data[8:begin], "little")
    if end > len(data) or end - begin > _NPY_MAX_HEADER:
        raise InvalidRequest(path, "a whole .npy header", f"{len(data)} bytes")
    header = _NPY_HEADER.fullmatch(data, begin, end)
    if header is None:
        raise InvalidRequest(path, "a .npy file of numbers", f"the header {data[begin:end][:60]!r}")
    dtype, fortran, axes = header.groups()
    shape = tuple(int(axis) for axis in axes.replace(b" ", b"").split(b",") if axis)
    order = "F" if fortran == b"True" else "C"
    return _over(data, end, dtype.decode("ascii"), shape, order, path)


def npy(array: np.ndarray) -> dict[str, Any]:
    """Turn an array into Isaac-GR00T's form."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": buffer.getvalue()}


def as_float32(array: np.ndarray, path: str) -> np.ndarray:
    """Take float16, float32 or float64 as float32; raises InvalidRequest for anything else."""
    if array.dtype.kind != "f":
        raise InvalidRequest(path, "float32 or float64", str(array.dtype))
    with np.errstate(over="ignore"):  # becomes an infinity, which the next check refuses
        return array.astype(np.float32)


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
