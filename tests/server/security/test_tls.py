"""TLS and tokens over real gRPC: who comes in, who does not, and a certificate that is renewed."""

import asyncio
import logging
import queue
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from handover_proto import policy_pb2 as pb
from handover_proto.errors import NotAuthorised
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_server.errors import ServingError
from handover_server.policies.hold import HoldPolicy
from handover_server.rpc.server import PolicyServer
from handover_server.rpc.settings import ServerSettings
from handover_server.security.tls import TlsFiles
from handover_server.security.tokens import TokenCheck

TIMEOUT_S = 60
TOKEN = "a-token-0123456789abcdef"
SHOWN = (("authorization", f"Bearer {TOKEN}"),)
ALONE = (("grpc.use_local_subchannel_pool", 1),)


def channel_to(server, authority, client=None):
    certificate, key = (path.read_bytes() for path in client) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, certificate)
    return grpc.secure_channel(server.address, credentials, options=ALONE)


def info_over(channel, metadata=()):
    return PolicyServiceStub(channel).GetInfo(
        pb.GetInfoRequest(), timeout=TIMEOUT_S, metadata=metadata
    )


def test_an_encrypted_server_answers_who_trusts_its_authority(serve, authority, message):
    server = serve(HoldPolicy(), tls=TlsFiles(*authority.sign("gpu-host")))
    with channel_to(server, authority) as channel:
        reply = PolicyServiceStub(channel).Infer(message(sequence=5), timeout=TIMEOUT_S)
    assert reply.sequence == 5
    with pytest.raises(grpc.RpcError):  # unencrypted
        server.infer(message())


def test_a_server_with_a_client_authority_refuses_who_has_no_certificate_of_it(
    serve, authority, new_authority
):
    files = TlsFiles(*authority.sign("mutual"), authority.certificate)
    server = serve(HoldPolicy(), tls=files)
    with channel_to(server, authority, authority.sign("robot")) as channel:
        assert info_over(channel).policy == "hold"
    for stranger in (None, new_authority().sign("stranger")):
        with channel_to(server, authority, stranger) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                info_over(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_certificate_is_used_without_a_restart(serve, authority, new_authority, caplog):
    caplog.set_level(logging.INFO, "handover_server.security.tls")
    certificate, key = authority.sign("renewed")
    server = serve(HoldPolicy(), tls=TlsFiles(certificate, key))
    with channel_to(server, authority) as channel:
        assert info_over(channel).policy == "hold"
    for begin_a_renewal in (lambda: key.write_text("half of it"), key.unlink):
        caplog.clear()
        begin_a_renewal()
        with channel_to(server, authority) as channel:
            assert info_over(channel).policy == "hold"
        assert "the former certificate stays in use" in caplog.text
        assert "a renewed certificate" not in caplog.text
    other = new_authority()
    for mine, others in zip((certificate, key), other.sign("renewed"), strict=True):
        others.replace(mine)
    with channel_to(server, other) as channel:
        assert info_over(channel).policy == "hold"
    with channel_to(server, authority) as channel, pytest.raises(grpc.RpcError):
        info_over(channel)
    assert f"a renewed certificate is in use: {certificate}" in caplog.text


@pytest.mark.parametrize("shown", [(), (("authorization", "Bearer another-0123456789"),)])
def test_every_call_without_the_token_is_unauthenticated(serve, shown, message, typed_error):
    server = serve(HoldPolicy(), tokens=TokenCheck([TOKEN]))
    stub = server.stub
    calls = {
        "GetInfo": lambda: stub.GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S, metadata=shown),
        "Infer": lambda: stub.Infer(message(), timeout=TIMEOUT_S, metadata=shown),
        "InferStream": lambda: next(
            stub.InferStream(iter([message()]), timeout=TIMEOUT_S, metadata=shown)
        ),
    }
    for call in calls.values():
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert isinstance(typed_error(caught.value), NotAuthorised)


def test_with_the_token_every_call_is_answered(serve, message):
    server = serve(HoldPolicy(), tokens=TokenCheck(["another-0123456789", TOKEN]))
    assert info_over(server.channel, SHOWN).policy == "hold"
    assert server.stub.Infer(message(sequence=2), timeout=TIMEOUT_S, metadata=SHOWN).sequence == 2
    stream = server.stub.InferStream(iter([message(sequence=3)]), timeout=TIMEOUT_S, metadata=SHOWN)
    assert next(stream).sequence == 3


def test_a_stranger_is_refused_before_the_message_is_read(serve):
    server = serve(HoldPolicy(), tokens=TokenCheck([TOKEN]))
    call = server.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
    with pytest.raises(grpc.RpcError) as caught:
        call(bytes(40 * 1024 * 1024), timeout=TIMEOUT_S)  # more than is ever read
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_load_balancers_need_no_token_for_health(serve):
    server = serve(HoldPolicy(), tokens=TokenCheck([TOKEN]))
    stub = health_pb2_grpc.HealthStub(server.channel)
    status = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S).status
    assert status == health_pb2.HealthCheckResponse.SERVING


def test_files_that_make_no_certificate_are_told(authority, new_authority, tmp_path):
    certificate, key = authority.sign("checked")
    _, another = new_authority().sign("checked")
    with pytest.raises(ServingError, match="key values mismatch; expected a PEM certificate and"):
        TlsFiles(certificate, another).check()
    empty = tmp_path / "empty"
    empty.touch(0o600)
    with pytest.raises(ServingError, match=r"empty cannot be used: .*expected PEM certificates"):
        TlsFiles(certificate, key, empty).check()
    with pytest.raises(ServingError, match="cannot be used: No such file"):
        TlsFiles(tmp_path / "none", key).check()
    locked = tmp_path / "locked"
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(ServingError, match=r"the key has a passphrase; expected .*without"):
        TlsFiles(certificate, locked).check()
    key.chmod(0o644)
    with pytest.raises(ServingError, match="has mode 0644"):
        TlsFiles(certificate, key).check()


def test_a_server_does_not_listen_with_a_key_that_others_may_read(authority):
    certificate, key = authority.sign("open-key")
    key.chmod(0o644)

    async def listen():
        await PolicyServer(HoldPolicy, ServerSettings(tls=TlsFiles(certificate, key))).listen()

    with pytest.raises(ServingError, match="has mode 0644"):
        asyncio.run(listen())


def test_a_stream_ends_when_its_token_is_taken_away(serve, message, typed_error):
    tokens, outbox = TokenCheck([TOKEN]), queue.SimpleQueue()
    server = serve(HoldPolicy(), tokens=tokens)
    replies = server.stub.InferStream(iter(outbox.get, None), timeout=TIMEOUT_S, metadata=SHOWN)
    outbox.put(message(sequence=1))
    assert next(replies).sequence == 1
    tokens.replace(["another-0123456789"])
    outbox.put(message(sequence=2))
    with pytest.raises(grpc.RpcError) as caught:
        next(replies)
    assert isinstance(typed_error(caught.value), NotAuthorised)
    outbox.put(None)
