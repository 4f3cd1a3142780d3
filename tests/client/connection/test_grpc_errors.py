"""Every error on its way from the server to the caller: none is lost, none is untyped."""

import grpc
import pytest
from handover_client import PolicyClient
from handover_proto.errors import (
    BY_STATUS,
    InvalidRequest,
    Overloaded,
    PolicyError,
    UnmetPrecondition,
)
from handover_proto.wire.messages import ERROR_METADATA_KEY, encode_error


@pytest.mark.parametrize("kind", sorted(BY_STATUS.values(), key=lambda kind: kind.status))
def test_every_error_of_the_contract_arrives_as_itself(start_server, observation, kind):
    sent = {
        InvalidRequest: lambda: InvalidRequest('observation.state["arm"]', "finite", "nan"),
        Overloaded: lambda: Overloaded("queue full", 0.25),
    }.get(kind, lambda: kind("what went wrong"))()
    code = next(code for code in grpc.StatusCode if code.value[0] == kind.status)

    def fail(request, context):
        detail = encode_error(sent).SerializeToString()
        context.set_trailing_metadata(((ERROR_METADATA_KEY, detail),))
        context.abort(code, str(sent))

    server = start_server(answer=fail)
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        pytest.raises(kind) as caught,
    ):
        client.infer(observation)
    assert type(caught.value) is kind
    assert str(caught.value) == str(sent)
    assert vars(caught.value) == vars(sent)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_bare_status_is_a_typed_error(start_server, observation, code):
    def fail(request, context):
        context.abort(code, "some words")

    server = start_server(answer=fail)
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        pytest.raises(PolicyError) as caught,
    ):
        client.infer(observation)
    expected = BY_STATUS.get(code.value[0])
    if expected is not None:
        assert type(caught.value) is expected
    assert type(caught.value) is not PolicyError
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("detail", [b"\xff\xff not protobuf", b"", b"\x08\x05"])
def test_a_broken_error_detail_falls_back_to_the_status(start_server, observation, detail):
    def fail(request, context):
        context.set_trailing_metadata(((ERROR_METADATA_KEY, detail),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no prefix here")

    server = start_server(answer=fail)
    with (
        PolicyClient.connect(server.address, timeout_s=60) as client,
        pytest.raises(UnmetPrecondition, match="no prefix here"),
    ):
        client.infer(observation)
