"""What is laid out by hand is what protobuf writes."""

import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.wire.fields import field


@pytest.mark.parametrize("size", [1, 127, 128, 16383, 16384, 2**21])
def test_a_field_of_bytes_is_protobufs(size):
    data = bytes(size)
    laid_out = b"".join(field(pb.Image.DATA_FIELD_NUMBER, [data[:1], memoryview(data)[1:]]))
    assert laid_out == pb.Image(data=data).SerializeToString()


def test_a_number_of_two_bytes_and_a_field_in_a_field():
    inner = field(1, [b"name"])
    laid_out = b"".join(field(2000, inner))
    assert laid_out == b"\x82\x7d\x06\x0a\x04name"  # 2000 << 3 | 2 = 16002
