"""A request's parts are counted, and its head read, without parsing it."""

import contextlib

import pytest
from google.protobuf.message import DecodeError
from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest
from handover_proto.types import MAX_TAG_BYTES
from handover_server.requests import wire_head
from handover_server.requests.wire_head import MAX_FIELDS, RequestHead
from hypothesis import given
from hypothesis import strategies as st


def head_of(data: bytes) -> RequestHead:
    head = RequestHead()
    head.read(data)
    return head


def part(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    size, out = len(payload), bytearray([number << 3 | 2])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size]) + payload


@given(
    st.integers(0, 2**64 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TAG_BYTES // 4),
)
def test_sequence_and_tag_are_what_parsing_would_give(sequence, tag):
    request = pb.InferRequest(sequence=sequence, client_tag=tag, seed=7)
    request.observation.task = "lift"
    head = head_of(request.SerializeToString())
    assert (head.sequence, head.client_tag) == (sequence, tag)


@given(st.lists(st.lists(st.sampled_from([pb.RAW_RGB8, pb.JPEG, pb.PNG]), max_size=3), max_size=3))
def test_one_compressed_image_of_any_camera_is_seen(codecs):
    request = pb.InferRequest(sequence=5)
    for name, frames in enumerate(codecs):
        for codec in frames:
            request.observation.cameras[str(name)].frames.add(codec=codec, height=1, data=b"x")
    compressed = any(codec != pb.RAW_RGB8 for frames in codecs for codec in frames)
    assert head_of(request.SerializeToString()).is_compressed == compressed


@pytest.mark.parametrize(
    ("max_age_ms", "call", "deadline"),
    [(None, None, None), (None, 5, 5), (2000, 5, 5), (500, 5, 4.5), (500, None, 4.5)],
)
def test_the_deadline_is_the_calls_or_the_greatest_age_if_that_is_earlier(
    max_age_ms, call, deadline
):
    head = head_of(pb.InferRequest(max_age_ms=max_age_ms).SerializeToString())
    assert head.max_age_ms == max_age_ms
    assert head.deadline(4.0, call) == deadline


@given(st.binary(max_size=300))
def test_whatever_the_parser_takes_the_guard_takes(data):
    request = pb.InferRequest()
    with contextlib.suppress(DecodeError):
        request.ParseFromString(data)
        has_group = any(byte & 7 in (3, 4) for byte in data)  # which no client of proto3 sends
        assert has_group or head_of(data).sequence == request.sequence


def test_the_layout_names_every_place_where_parts_can_be_many():
    def layout(descriptor):
        places = {}
        for number, entry in descriptor.fields_by_number.items():
            if entry.message_type is not None:
                places[number] = layout(entry.message_type)
            elif entry.name == "shape":
                places[number] = None
        return places

    assert layout(pb.InferRequest.DESCRIPTOR) == wire_head.REQUEST_LAYOUT


BOMBS = {
    "empty images": part(1, part(1, part(1, b"c") + part(2, b"\x0a\x00" * 500_000))),
    "state groups": part(1, b"".join(part(2, part(1, b"%06x" % i)) for i in range(100_000))),
    "axes of a shape": part(1, part(2, part(2, part(2, b"\x01" * 1_000_000)))),
    "prefix groups": part(5, b"".join(part(1, part(1, b"%06x" % i)) for i in range(100_000))),
    "unknown numbers": b"\x78\x01" * 500_000,
    "nested observations": part(1, b"") * 500_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_message_of_countless_parts_is_refused(name):
    with pytest.raises(InvalidRequest, match=f"at most {MAX_FIELDS} fields"):
        head_of(BOMBS[name])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x18\x05\xff", "ends in the middle of a number"),
        (b"\x18\x05\x0a\xff\xff\xff\xff\x03", "claims 1073741823 bytes where 0 are left"),
        (b"\x18\x05\x0b", "wire type 3"),
        (b"\x18\x05\x79\x00", "ends 7 bytes after"),
        (b"\x18\x05" + b"\x80" * 11, "a number of over ten bytes"),
        (b"\x18\x05" + part(1, part(1, b"\x0a\x7f")), "claims 127 bytes where 0 are left"),
    ],
)
def test_bytes_that_are_no_message_are_refused_with_what_was_read_before(data, reason):
    head = RequestHead()
    with pytest.raises(InvalidRequest, match=reason) as caught:
        head.read(data)
    assert caught.value.field == "message"
    assert head.sequence == 5


def test_pixels_are_skipped_and_not_walked_over():
    request = pb.InferRequest(sequence=3)
    request.observation.cameras["top"].frames.add(data=bytes(30 * 1024 * 1024))
    assert head_of(request.SerializeToString()).sequence == 3  # 30 million bytes would be refused
