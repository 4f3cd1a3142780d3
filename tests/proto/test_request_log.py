"""Recordings: what is written is read, and damage costs only the records that it hits."""

import dataclasses
import struct
import zlib

import msgpack
import numpy as np
import pytest
from handover_proto.request_log import (
    Damage,
    RecordedAnswer,
    RecordedRequest,
    RecordedServer,
    RecordingError,
    encode_record,
    read_recording,
    segment_path,
    segment_start,
)
from hypothesis import given
from hypothesis import strategies as st

ACTION = {"arm": np.arange(6, dtype=np.float32).reshape(2, 3), "hand": np.ones((2, 1), np.float32)}
RECORDS = [
    RecordedServer("s", b"info"),
    RecordedRequest("s", 1, 123, "token 1", b"\x00image\xff" * 50),
    RecordedAnswer("s", 1, "ok", "", 2**53, "f00d", ACTION, {"queue_ms": 0.5}),
    RecordedRequest("s", 2, 124, "ipv4:127.0.0.1:5", b""),
    RecordedAnswer("s", 2, "aborted", "superseded"),
]
FRAMES = [encode_record(record) for record in RECORDS]


def comparable(record):
    values = dataclasses.asdict(record)
    action = values.pop("action", {})
    return values, {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in action.items()}


def write(folder, data, number=1):
    folder.mkdir(exist_ok=True)
    segment_path(folder, number).write_bytes(data)


def test_what_is_written_is_read_in_order_over_segments(tmp_path):
    write(tmp_path, segment_start() + FRAMES[3] + FRAMES[4], number=10)
    write(tmp_path, segment_start() + b"".join(FRAMES[:3]), number=2)
    found = list(read_recording(tmp_path))
    assert [comparable(record) for record in found] == [comparable(record) for record in RECORDS]


def test_a_torn_tail_is_told_and_all_before_it_is_read(tmp_path):
    whole = segment_start() + b"".join(FRAMES)
    last = len(whole) - len(FRAMES[-1])
    for end in range(last + 1, len(whole)):
        write(tmp_path, whole[:end])
        *records, damage = read_recording(tmp_path)
        assert len(records) == len(RECORDS) - 1
        assert (damage.reason, damage.offset, damage.size) == ("torn", last, end - last)


def test_a_segment_that_its_server_deletes_meanwhile_is_told_and_the_others_are_read(tmp_path):
    for number in (1, 2, 3):
        write(tmp_path, segment_start() + b"".join(FRAMES[1:3]), number)
    found = read_recording(tmp_path)
    first = [next(found), next(found)]
    segment_path(tmp_path, 2).unlink()
    damage, *rest = found
    assert len(first) == len(rest) == 2
    size = len(segment_start()) + len(FRAMES[1]) + len(FRAMES[2])
    assert damage == Damage(segment_path(tmp_path, 2), 0, size, "deleted meanwhile")


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_record_and_never_changes_one(tmp_path_factory, place, bit):
    data = bytearray(b"".join(FRAMES))
    data[place % len(data)] ^= 1 << bit
    folder = tmp_path_factory.getbasetemp() / "flipped"
    write(folder, segment_start() + bytes(data))
    found = list(read_recording(folder))
    records = [comparable(record) for record in found if not isinstance(record, Damage)]
    originals = [comparable(record) for record in RECORDS]
    assert len(records) == len(RECORDS) - 1
    assert all(record in originals for record in records)
    assert any(isinstance(record, Damage) for record in found)


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_segment_it_can_be_read(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "noise"
    write(folder, segment_start() + data + FRAMES[1])
    assert comparable(RECORDS[1]) in [
        comparable(record) for record in read_recording(folder) if not isinstance(record, Damage)
    ]


def test_a_segment_that_was_only_begun_is_torn(tmp_path):
    write(tmp_path, segment_start()[:5])
    (damage,) = read_recording(tmp_path)
    assert damage.reason == "torn"


ANSWER = {"kind": "answer", "session": "s", "number": 1, "outcome": "ok"}


@pytest.mark.parametrize(
    "payload",
    [
        msgpack.packb({"kind": "joystick", "value": 1}),
        msgpack.packb({"kind": "server", "session": "s", "info": b"", "value": 1}),
        msgpack.packb({"kind": "server", "session": "s"}),
        msgpack.packb({**ANSWER, "action": {"arm": ["<f4", [2, 3], b"1234"]}}),
        msgpack.packb({**ANSWER, "action": []}),
        msgpack.packb(["server"]),
        msgpack.packb(1),
        b"\xc1",
    ],
    ids=["kind", "more", "less", "shape", "no groups", "list", "number", "no msgpack"],
)
def test_a_record_of_another_version_is_skipped(tmp_path, payload):
    head = struct.pack("<4sII", FRAMES[0][:4], len(payload), zlib.crc32(payload))
    write(tmp_path, segment_start() + head + payload + FRAMES[1])
    damage, record = read_recording(tmp_path)
    assert damage.reason == "not a record of this version"
    assert comparable(record) == comparable(RECORDS[1])


def test_what_is_no_recording_is_told(tmp_path):
    with pytest.raises(RecordingError, match="holds no recording: expected a folder with"):
        list(read_recording(tmp_path / "none"))
    write(tmp_path, b"PK\x03\x04 something else")
    with pytest.raises(RecordingError, match="is not a recording of this format"):
        list(read_recording(tmp_path))
    segment_path(tmp_path / "folders", 1).mkdir(parents=True)
    with pytest.raises(RecordingError, match="cannot be read: Is a directory"):
        list(read_recording(tmp_path / "folders"))


def test_what_is_added_while_it_is_read_is_left_out(tmp_path):
    write(tmp_path, segment_start() + FRAMES[0])
    write(tmp_path, segment_start() + FRAMES[1], number=2)
    records = read_recording(tmp_path)
    next(records)
    write(tmp_path, segment_start() + FRAMES[1] + FRAMES[2], number=2)
    assert [comparable(record) for record in records] == [comparable(RECORDS[1])]
