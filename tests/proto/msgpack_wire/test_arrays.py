"""Arrays of strangers are numbers over the message's own bytes, or an error."""

import contextlib
import io

import msgpack
import numpy as np
import pytest
from handover_proto.errors import InvalidRequest
from handover_proto.msgpack_wire import (
    MAX_DEPTH,
    MAX_PARTS,
    npy,
    openpi_array,
    read_npy,
    read_openpi_array,
    unpack,
)
from handover_proto.types import MAX_MESSAGE_BYTES
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

numbers = hnp.arrays(
    st.sampled_from(["<f4", "<f8", "<f2", "|u1", "<i8", "|b1"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)


@given(numbers)
def test_both_forms_come_back(array):
    for pack, read in ((npy, read_npy), (openpi_array, read_openpi_array)):
        again = read(unpack(msgpack.packb(pack(array))), "x")
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)


def test_columns_first_files_are_read_as_numpy_reads_them():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(read_npy(npy(array), "x"), array)


def header(text: bytes, data: bytes = b"", magic: bytes = b"\x93NUMPY\x01\x00") -> dict:
    return {"as_npy": magic + len(text).to_bytes(2, "little") + text + data}


def pickled() -> dict:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return {"as_npy": buffer.getvalue()}


def zipped() -> dict:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, np.zeros(1000))
    return {"as_npy": buffer.getvalue()}


WHOLE = npy(np.zeros((2, 3), np.float32))["as_npy"]
HOSTILE_NPY = {
    "object array": pickled(),
    "zip": zipped(),
    "empty": {"as_npy": b""},
    "text": {"as_npy": "x"},
    "no map": 3,
    "huge shape": header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n"),
    "overflowing": header(
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }\n"
    ),
    "empty and huge": header(
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 999999999999999999, "
        b"999999999999999999), }\n"
    ),
    "code": header(b"{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': ()}\n"),
    "nested": header(b"(" * 900),
    "structure": header(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n"),
    "text dtype": header(b"{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }\n", b"a" * 16),
    "no dtype": header(b"{'descr': '<f1', 'fortran_order': False, 'shape': (1,), }\n", b"a"),
    "long header": header(
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + b" " * 1024 + b"\n", b"1234"
    ),
    "future version": header(b"", magic=b"\x93NUMPY\x09\x00"),
    **{f"cut at {end}": {"as_npy": WHOLE[:end]} for end in (3, 9, 40, 128, len(WHOLE) - 1)},
    "too long": {"as_npy": WHOLE + b"x"},
}


@pytest.mark.parametrize("value", HOSTILE_NPY.values(), ids=HOSTILE_NPY)
def test_hostile_npy_files_are_refused(value):
    with pytest.raises(InvalidRequest):
        read_npy(value, "x")


OPENPI_ARRAY = unpack(msgpack.packb(openpi_array(np.zeros(6, np.float32))))


@pytest.mark.parametrize(
    "change",
    [
        {b"dtype": "|O"},
        {b"dtype": "O8"},
        {b"dtype": "<M8[ns]"},
        {b"dtype": "f4,f4"},
        {b"dtype": [["a", "<f4"]]},
        {b"dtype": None},
        {b"shape": [2**62, 2**62]},
        {b"shape": [-1]},
        {b"shape": [True, 6]},
        {b"shape": "6"},
        {b"shape": None},
        {b"shape": [6.0]},
        {b"shape": [6] + [1] * 8},
        {b"data": "text"},
        {b"data": None},
    ],
)
def test_hostile_openpi_arrays_are_refused(change):
    assert read_openpi_array(OPENPI_ARRAY, "x").shape == (6,)  # but for the change it is read
    with pytest.raises(InvalidRequest):
        read_openpi_array({**OPENPI_ARRAY, **change}, "x")


@pytest.mark.parametrize("value", [3, None, "text", [OPENPI_ARRAY], {}, {b"nd": True}])
def test_what_is_no_openpi_array_is_refused(value):
    with pytest.raises(InvalidRequest, match="an array as msgpack-numpy writes it"):
        read_openpi_array(value, "x")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(InvalidRequest):  # anything else is a bug
        unpack(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
        lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_msgpack_writes_is_read(value):
    assert unpack(msgpack.packb(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
        b"\xdd\xff\xff\xff\xff",  # 4 G parts
        b"\xdf\xff\xff\xff\xff" + b"\x80" * 100,
        b"\x91" * 100_000 + b"\xc0",  # deep
        b"\xdc\xff\xff" + b"\x80" * 0xFFFF,  # many
        b"\x81\x90\xc0",  # a list as a key
        b"\xa1\xff",  # no UTF-8
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\xc0\xc0",
        b"\xcb\x00",
    ],
)
def test_hostile_messages_are_refused(data):
    with pytest.raises(InvalidRequest):
        unpack(data)


NUMBERS = [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1]
NUMBERS += [-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63)]
LENGTHS = [0, 1, 15, 16, 31, 32, 255, 256, 1000]


def test_each_way_in_which_msgpack_writes_a_part_is_read():
    parts = [None, True, False, 1.5, *NUMBERS, bytes(65536), "x" * 65536]
    for length in LENGTHS:
        parts += [bytes(length), "x" * length, [7] * length]
        parts.append({f"{number}": 7 for number in range(length)})
    for part in parts:
        assert unpack(msgpack.packb([part, "next"])) == [part, "next"]
    assert unpack(msgpack.packb([1.5, "next"], use_single_float=True)) == [1.5, "next"]


def test_the_bounds_on_parts_levels_and_bytes_are_exact():
    assert len(unpack(msgpack.packb([0] * (MAX_PARTS - 1)))) == MAX_PARTS - 1
    with pytest.raises(InvalidRequest, match="parts"):
        unpack(msgpack.packb([0] * MAX_PARTS))
    assert unpack(b"\x91" * (MAX_DEPTH - 1) + b"\xc0")
    with pytest.raises(InvalidRequest, match="levels"):
        unpack(b"\x91" * MAX_DEPTH + b"\xc0")
    head = 5  # of bytes this long
    assert len(unpack(msgpack.packb(bytes(MAX_MESSAGE_BYTES - head)))) == MAX_MESSAGE_BYTES - head
    with pytest.raises(InvalidRequest, match=f"at most {MAX_MESSAGE_BYTES} bytes"):
        unpack(msgpack.packb(bytes(MAX_MESSAGE_BYTES - head + 1)))
