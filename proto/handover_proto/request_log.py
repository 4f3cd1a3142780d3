"""Request log of a server: the file format of recorded requests and their chunks.

A recording is a folder of segments, NNNNNNNN-CCCCCCCC.handover: the order in which they were begun,
and a digest of the client whose requests and answers they hold (older recordings have segments
NNNNNNNN.handover, of all clients). A segment is _MAGIC followed by records, each of which is

    4 bytes   _MARKER, by which a reader finds the next record after a damaged one
    4 bytes   length of the payload, little-endian
    4 bytes   CRC-32 of the payload, little-endian
    payload   a msgpack map, whose "kind" names one of the classes below

A killed server leaves at most one torn record, at the end of the segment that it wrote to.
"""

import dataclasses
import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import msgpack
import numpy as np
from handover_common import HandoverError

_MAGIC = b"handover recording 1\n"
_MARKER = b"\xf0\x9f\xa6\xbe"  # arbitrary; as UTF-8 a mechanical arm
_HEADER = struct.Struct("<4sII")
_SUFFIX = ".handover"
_SEGMENT = re.compile(r"[0-9]{8,}(-[0-9a-f]{8})?")


class RecordingError(HandoverError):
    """A recording is missing or cannot be read at all."""


@dataclass(frozen=True)
class RecordedServer:
    """The policy served from here on: a serialized GetInfoReply."""

    session: str
    info: bytes


@dataclass(frozen=True)
class RecordedRequest:
    """An admitted request: a serialized InferRequest, including its images.

    session, number: together they identify the request within all recordings
    time_ns: time of recording, nanoseconds since 1970 on the server's clock
    client: the client's name, as in the server's log
    """

    session: str
    number: int
    time_ns: int
    client: str
    message: bytes


@dataclass(frozen=True)
class RecordedAnswer:
    """Outcome of a request: a chunk or an error.

    action: {group: (horizon, dim) float32}; empty after an error
    outcome: ok, or gRPC's name of the error in lower case
    durations: {stage: milliseconds}
    """

    session: str
    number: int
    outcome: str
    error: str = ""
    seed: int = 0
    checkpoint_hash: str = ""
    action: Mapping[str, np.ndarray] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Damage:
    """A part of a segment without a readable record, and the number of bytes skipped."""

    segment: Path
    offset: int
    size: int
    reason: str


Record = Union[RecordedServer, RecordedRequest, RecordedAnswer]  # noqa: UP007 - a runtime value
_KINDS: dict[str, type[Record]] = {
    "server": RecordedServer,
    "request": RecordedRequest,
    "answer": RecordedAnswer,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def owner_digest(client: str) -> str:
    """Return the 8 hexadecimal digits that name a client's segments."""
    return hashlib.blake2b(client.encode(errors="replace"), digest_size=4).hexdigest()


def segment_path(folder: Path, number: int, owner: str = "") -> Path:
    """Return the path of a segment by its number and its owner's digest ("": of all clients)."""
    return folder / f"{number:08d}{f'-{owner}' if owner else ''}{_SUFFIX}"


def segment_owner(path: Path) -> str:
    """Return the digest of the client whose records a segment holds; "": of all clients."""
    return path.stem.partition("-")[2]


def segments_of(folder: Path) -> list[Path]:
    """List a recording's segments, oldest first."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if _SEGMENT.fullmatch(path.stem))


def segment_start() -> bytes:
    """Return the bytes that every segment begins with."""
    return _MAGIC


def encode_record(record: Record) -> bytes:
    """Encode a record as a segment stores it."""
    content = {name.name: getattr(record, name.name) for name in dataclasses.fields(record)}
    if isinstance(record, RecordedAnswer):
        content["action"] = {name: _pack_array(value) for name, value in record.action.items()}
    payload = msgpack.Packer().pack({"kind": _NAMES[type(record)], **content})
    return _HEADER.pack(_MARKER, len(payload), zlib.crc32(payload)) + payload


def read_recording(folder: Path) -> Iterator[Record | Damage]:
    """Read every record, oldest first, and yield Damage where there is none.

    Records that a server adds meanwhile are left out: it may be the server that is asked again. A
    segment that it deletes meanwhile, to make room, is Damage.
    Raises RecordingError for a folder without segments, or a segment of another format.
    """
    segments = segments_of(folder) if folder.is_dir() else []
    if not segments:
        raise RecordingError(
            f"{folder} holds no recording: expected a folder with *{_SUFFIX} files, as written by "
            "handover serve --record DIR"
        )
    sizes = [_size_of(segment) for segment in segments]
    for segment, size in zip(segments, sizes, strict=True):
        yield from _read_segment(segment, size)


def _size_of(segment: Path) -> int:
    try:
        return segment.stat().st_size
    except FileNotFoundError:
        return 0


def _read_segment(segment: Path, size: int) -> Iterator[Record | Damage]:
    try:
        with segment.open("rb") as file:
            data = file.read(size)
    except FileNotFoundError:
        yield Damage(segment, 0, size, "deleted meanwhile")
        return
    except OSError as error:
        raise RecordingError(f"{segment} cannot be read: {error.strerror}") from None
    if not data.startswith(_MAGIC):
        if _MAGIC.startswith(data):  # killed while it was created
            yield Damage(segment, 0, len(data), "torn")
            return
        raise RecordingError(f"{segment} is not a recording of this format")
    at = len(_MAGIC)
    while at < len(data):
        record, end, reason = _read_record(data, at)
        if record is None:
            following = data.find(_MARKER, at + 1)
            end = len(data) if following < 0 else following
            yield Damage(segment, at, end - at, reason)
        else:
            yield record
        at = end


def _read_record(data: bytes, at: int) -> tuple[Record | None, int, str]:
    """Read the record at `at`; return it, where it ends, and the reason if there is none."""
    if len(data) - at < _HEADER.size:
        return None, at, "torn"
    marker, length, checksum = _HEADER.unpack_from(data, at)
    begin = at + _HEADER.size
    if marker != _MARKER:
        return None, at, "no record begins here"
    if length > len(data) - begin:
        return None, at, "torn"
    payload = memoryview(data)[begin : begin + length]
    if zlib.crc32(payload) != checksum:
        return None, at, "checksum"
    try:
        return _unpack(msgpack.unpackb(payload)), begin + length, ""
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        return None, at, "not a record of this version"


def _unpack(content: dict[str, Any]) -> Record:
    kind = _KINDS[content.pop("kind")]
    if kind is RecordedAnswer:
        content["action"] = {name: _unpack_array(*a) for name, a in content["action"].items()}
    return kind(**content)


def _pack_array(values: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.dtype.str, little.shape, little.tobytes()


def _unpack_array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.dtype(dtype)).reshape(shape)
