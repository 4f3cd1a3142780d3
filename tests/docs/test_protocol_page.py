"""docs/protocol.md names what policy.proto has and what errors.py raises."""

import grpc
from handover_proto import policy_pb2 as pb
from handover_proto.errors import BY_STATUS
from handover_proto.types import PROTOCOL_VERSION

from .pages import ROOT

PAGE = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
SERVICE = pb.DESCRIPTOR.services_by_name["PolicyService"]


def test_every_call_is_described():
    assert SERVICE.full_name in PAGE
    for method in SERVICE.methods:
        assert f"| `{method.name}` |" in PAGE


def test_every_message_is_named():
    silent = {"GetInfoRequest", "CameraFrames"}  # empty; a list of images
    for name in set(pb.DESCRIPTOR.message_types_by_name) - silent:
        assert f"`{name}`" in PAGE, name


def test_every_field_of_a_request_is_explained():
    for field in pb.InferRequest.DESCRIPTOR.fields:
        if field.name != "observation":
            assert f"| `{field.name}`" in PAGE, field.name


def test_every_status_stands_beside_its_error():
    names = {status.value[0]: status.name for status in grpc.StatusCode}
    for status, error in BY_STATUS.items():
        assert f"| {names[status]} | `{error.__name__}` |" in PAGE


def test_the_version_is_the_one_that_is_spoken():
    assert f"`protocol_version` is {PROTOCOL_VERSION}." in PAGE
