"""What a client shows a server, what it asks of it, and what it says when either is missing."""

import asyncio
import dataclasses

import grpc
import pytest
from handover_client import AsyncPolicyClient, ChannelSecurity, PolicyClient
from handover_client.errors import UntrustedServer
from handover_common.errors import UsageError
from handover_proto.errors import NotAuthorised, UnmetPrecondition
from handover_proto.types import ImageCodec

TOKEN = "a-token-0123456789abcdef"
TIMEOUT_S = 60.0


@pytest.fixture
def encrypted(start_server, authority):
    """Start a server with a certificate of the authority: encrypted(name, …)."""

    def start(name="gpu-host", client_ca=None, pair=None):
        certificate, key = pair or authority.sign(name)
        tls = grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())],
            root_certificates=client_ca.certificate.read_bytes() if client_ca else None,
            require_client_auth=client_ca is not None,
        )
        return start_server(tls=tls)

    return start


@pytest.fixture
def trusting(authority):
    return ChannelSecurity(tls=True, ca=authority.certificate.read_bytes())


def test_a_chunk_comes_over_an_encrypted_connection(encrypted, trusting, observation):
    server = encrypted()
    with PolicyClient.connect(server.address, timeout_s=TIMEOUT_S, security=trusting) as client:
        assert client.infer(observation, sequence=3).sequence == 3
        with client.stream() as stream:
            stream.send(observation, sequence=4)
            assert stream.receive(timeout_s=TIMEOUT_S).result().sequence == 4


def test_so_it_does_with_asyncio(encrypted, trusting, observation):
    server = encrypted()

    async def ask():
        async with await AsyncPolicyClient.connect(
            server.address, timeout_s=TIMEOUT_S, security=trusting
        ) as client:
            chunk = await client.infer(observation, sequence=3)
            async with client.stream() as stream:
                stream.send(observation, sequence=4)
                answer = await stream.receive(timeout_s=TIMEOUT_S)
            return chunk.sequence, answer.result().sequence

    assert asyncio.run(ask()) == (3, 4)


def test_the_token_goes_with_every_call(start_server, observation):
    shown = []

    def answer(request, context):
        shown.append(dict(context.invocation_metadata()).get("authorization"))
        return inner(request, context)

    inner = start_server().servicer.answer
    server = start_server(answer=answer)
    security = ChannelSecurity(token=TOKEN)
    with PolicyClient.connect(server.address, security=security) as client:
        client.infer(observation)
        with client.stream() as stream:
            stream.send(observation, sequence=1)
            stream.receive(timeout_s=TIMEOUT_S)
    assert shown == [f"Bearer {TOKEN}"] * 2


def test_a_token_never_goes_unencrypted_over_the_network():
    with pytest.raises(UsageError, match=r"would go to gpu-host:50051 unencrypted; .*--tls-ca"):
        PolicyClient("gpu-host:50051", ImageCodec.RAW_RGB8, 1.0, ChannelSecurity(token=TOKEN))
    ChannelSecurity(tls=True, token=TOKEN).check("gpu-host:50051")
    ChannelSecurity().check("gpu-host:50051")


@pytest.mark.parametrize("token", [f"{TOKEN}\n", "schlüssel-" * 4])
def test_a_token_that_no_header_carries_is_refused_before_anything_is_sent(token):
    with pytest.raises(UsageError, match="printable ASCII"):
        PolicyClient.connect("127.0.0.1:1", security=ChannelSecurity(token=token))


def test_a_token_is_in_no_repr(trusting):
    security = dataclasses.replace(trusting, token=TOKEN, client_key=b"private")
    assert TOKEN not in repr(security)
    assert "private" not in repr(security)


def refusal(server, security):
    """What connecting says, at once and in one line."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at its type
        PolicyClient.connect(server.address, timeout_s=TIMEOUT_S, security=security)

    async def connect():
        await AsyncPolicyClient.connect(server.address, timeout_s=TIMEOUT_S, security=security)

    with pytest.raises(type(caught.value), match=r"certificate|TLS"):
        asyncio.run(connect())
    assert "\n" not in str(caught.value)
    assert "andshake" not in str(caught.value)
    return caught.value


def test_the_certificate_of_a_stranger_is_told(encrypted, new_authority):
    server = encrypted(pair=new_authority().sign("stranger"))
    other = ChannelSecurity(tls=True, ca=new_authority().certificate.read_bytes())
    error = refusal(server, other)
    assert isinstance(error, UntrustedServer)
    assert "not signed by an authority that this client trusts" in str(error)


def test_an_expired_certificate_is_told(encrypted, authority, trusting):
    error = refusal(encrypted(pair=authority.sign("expired", days=-1)), trusting)
    assert isinstance(error, UntrustedServer)
    assert "has expired" in str(error)


def test_a_certificate_for_another_name_is_told(encrypted, authority, trusting):
    pair = authority.sign("elsewhere", alternatives="DNS:elsewhere.example,IP:192.0.2.1")
    error = refusal(encrypted(pair=pair), trusting)
    assert isinstance(error, UntrustedServer)
    assert "is for another name" in str(error)


def test_a_server_that_requires_tls_is_told(encrypted):
    error = refusal(encrypted(), ChannelSecurity())
    assert isinstance(error, UnmetPrecondition)
    assert "requires TLS: use --tls-ca FILE" in str(error)


def test_a_server_without_tls_is_told(start_server, trusting):
    error = refusal(start_server(), trusting)
    assert isinstance(error, UntrustedServer)
    assert "does not speak TLS" in str(error)


def test_a_server_that_wants_a_certificate_of_its_clients_is_told(
    encrypted, authority, new_authority, trusting, observation
):
    server = encrypted("mutual", client_ca=authority)
    error = refusal(server, trusting)
    assert isinstance(error, NotAuthorised)
    assert "requires a client certificate: use --client-cert" in str(error)

    def showing(pair):
        certificate, key = (path.read_bytes() for path in pair)
        return dataclasses.replace(trusting, client_cert=certificate, client_key=key)

    error = refusal(server, showing(new_authority().sign("stranger")))
    assert isinstance(error, NotAuthorised)
    assert "does not accept the certificate of --client-cert" in str(error)
    with PolicyClient.connect(server.address, security=showing(authority.sign("robot"))) as client:
        assert client.infer(observation, sequence=9).sequence == 9
