"""openpi's port is encrypted like gRPC's, and lets in whom gRPC lets in."""

import asyncio
import ssl

import msgpack
import pytest
from handover_server.policies.hold import HoldPolicy
from handover_server.security.tls import TlsFiles
from handover_server.security.tokens import TokenCheck

from .conftest import TIMEOUT_S, pack_array, unpack_array

TOKEN = "a-token-of-enough-characters"


def ask(running, observation, authority, certificate=None, token=TOKEN):
    """Connect as a stranger would who was given these, and ask once.

    With asyncio: the library's blocking client reads and writes one TLS object from two threads,
    and in one of a hundred connections its first message never leaves (Python 3.11).
    """
    connect = pytest.importorskip("websockets.asyncio.client").connect
    context = ssl.create_default_context(cafile=authority.certificate)
    if certificate is not None:
        context.load_cert_chain(*certificate)

    async def converse():
        async with connect(
            f"wss://127.0.0.1:{running.server.gateways.openpi_port}",
            ssl=context,
            additional_headers={"Authorization": f"Api-Key {token}"},
            open_timeout=TIMEOUT_S,
            compression=None,
            max_size=None,
            proxy=None,
        ) as websocket:
            await websocket.recv()
            await websocket.send(msgpack.packb(observation, default=pack_array))
            return msgpack.unpackb(await websocket.recv(), object_hook=unpack_array)[
                "actions"
            ].shape

    return asyncio.run(asyncio.wait_for(converse(), 3 * TIMEOUT_S))


def test_a_client_with_the_authority_and_the_token_is_answered(serve_openpi, authority, aloha):
    files = TlsFiles(*authority.sign("websocket"))
    running = serve_openpi(HoldPolicy(), tls=files, tokens=TokenCheck((TOKEN,)))
    assert ask(running, aloha, authority) == (16, 14)
    with pytest.raises(Exception, match="401"):
        ask(running, aloha, authority, token="another-token-of-our-own")


def test_who_does_not_encrypt_is_not_answered(serve_openpi, openpi_client, authority):
    running = serve_openpi(HoldPolicy(), tls=TlsFiles(*authority.sign("encrypted")))
    with pytest.raises(Exception, match=r"did not receive a valid HTTP response|closed|reset"):
        openpi_client(port=running.server.gateways.openpi_port)


def test_a_client_authority_holds_for_the_websocket_too(
    serve_openpi, authority, new_authority, aloha
):
    closed = pytest.importorskip("websockets.exceptions").WebSocketException
    files = TlsFiles(*authority.sign("mutual-websocket"), authority.certificate)
    running = serve_openpi(HoldPolicy(), tls=files)
    assert ask(running, aloha, authority, authority.sign("openpi-robot")) == (16, 14)
    for stranger in (None, new_authority().sign("openpi-stranger")):
        with pytest.raises((OSError, EOFError, closed)):  # TLS 1.3 tells a client after its hello
            ask(running, aloha, authority, stranger)
    assert ask(running, aloha, authority, authority.sign("openpi-robot")) == (16, 14)


def test_a_renewed_certificate_is_used_without_a_restart(
    serve_openpi, authority, new_authority, aloha
):
    certificate, key = authority.sign("renewed-websocket")
    running = serve_openpi(HoldPolicy(), tls=TlsFiles(certificate, key))
    assert ask(running, aloha, authority) == (16, 14)
    key.write_text("half of a renewal")
    assert ask(running, aloha, authority) == (16, 14)
    other = new_authority()
    for mine, others in zip((certificate, key), other.sign("renewed-websocket"), strict=True):
        others.replace(mine)
    assert ask(running, aloha, other) == (16, 14)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(running, aloha, authority)
