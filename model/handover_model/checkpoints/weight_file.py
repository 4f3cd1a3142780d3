"""A safetensors file, read into memory of its own: a bounded header, then one tensor at a time.

The library's reader maps files into memory. A file that is cut short while its weights are in use
then ends the process (SIGBUS), and one that is overwritten in place changes what is computed. Here
every byte is read once: no weight depends on the file afterwards, and the hash is that of the bytes
that were read.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handover_model.errors import CheckpointError

# A published shard's header is some 100 kB; one of a million names would hold up a reload.
MAX_HEADER_BYTES = 8 * 1024 * 1024
PASSED_BYTES = 1024 * 1024  # of what is hashed and not kept, at once
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor's type, shape and place: bytes `begin` to `end` of the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class WeightFile:
    """An open safetensors file; a context manager. CheckpointError for what is none."""

    def __init__(self, path: Path) -> None:
        """Open a file and check its header against its length."""
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from error
        try:
            size = path.stat().st_size
            self._head = self._read_head(size)
            self.metadata, self.tensors = _parse(path, self._head, size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "WeightFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get_tensor(self, key: str) -> Tensor:
        """Read one tensor, in the type in which it is stored."""
        stored = self.tensors[key]
        self._file.seek(stored.begin)
        return self._read_tensor(stored)

    def read(self, keys: Collection[str], digest: Any) -> Iterator[tuple[str, Tensor]]:
        """Read tensors in the file's order; every byte of the file goes through the digest."""
        self._file.seek(len(self._head))
        digest.update(self._head)
        for key, stored in self.tensors.items():
            if key in keys:
                tensor = self._read_tensor(stored)
                digest.update(_bytes_of(tensor))
                yield key, tensor
                continue
            left = stored.end - stored.begin
            while left:
                passed = self._exactly(min(left, PASSED_BYTES))
                digest.update(passed)
                left -= len(passed)

    def _read_head(self, size: int) -> bytes:
        """Read the header with the eight bytes of its length."""
        start = self._exactly(8)
        length = int.from_bytes(start, "little")
        if length > MAX_HEADER_BYTES or 8 + length > size:
            raise _damaged(
                self.path,
                f"its header says {length} bytes, expected at most {MAX_HEADER_BYTES}, in a file "
                f"of {size}",
            )
        return start + self._exactly(length)

    def _read_tensor(self, stored: StoredTensor) -> Tensor:
        raw = torch.empty(stored.end - stored.begin, dtype=torch.uint8)
        if self._file.readinto(raw.numpy().data) != len(raw):
            raise _damaged(self.path, "it ends within a tensor")
        return raw.view(stored.dtype).view(stored.shape)

    def _exactly(self, count: int) -> bytes:
        read = self._file.read(count)
        if len(read) != count:
            raise _damaged(self.path, f"it ends {count - len(read)} bytes too early")
        return read


def hash_files(digests: dict[str, str]) -> str:
    """Combine files' hashes, {name: SHA-256 of its bytes}, into a checkpoint's, in hexadecimal."""
    digest = hashlib.sha256()
    for name, own in digests.items():
        digest.update(f"{name} {own}\n".encode())
    return digest.hexdigest()


def _parse(path: Path, head: bytes, size: int) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    """Parse a header: the metadata, and the tensors in the file's order, which leave no gap."""
    try:
        content = json.loads(head[8:])
        metadata = dict(content.pop("__metadata__", {}))
        entries = sorted(content.items(), key=lambda item: item[1]["data_offsets"])
        tensors = {key: _entry(values, len(head)) for key, values in entries}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read: {error!r}") from error
    end = len(head)
    for key, stored in tensors.items():
        if stored.begin != end or stored.end - stored.begin != _size(stored):
            raise _damaged(path, f"{key!r} lies at bytes {stored.begin} to {stored.end}")
        end = stored.end
    if end != size:
        raise _damaged(path, f"it has {size} bytes, its header describes {end}")
    return metadata, tensors


def _entry(values: dict[str, Any], offset: int) -> StoredTensor:
    shape, (begin, end) = tuple(values["shape"]), values["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"sizes are {shape}, {begin}, {end}")
    return StoredTensor(TYPES[values["dtype"]], shape, offset + begin, offset + end)


def _size(stored: StoredTensor) -> int:
    return math.prod(stored.shape) * stored.dtype.itemsize


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a readable safetensors file ({what}); download it again")
