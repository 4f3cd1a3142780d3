"""What the connections of one address may have together, and who is refused for it."""

import pytest
from handover_proto.errors import Overloaded
from handover_server.inference.shares import AdmissionLimits, Shares
from handover_server.security.tokens import Identity

OTHER = Identity("ipv4:10.0.0.8:1")
TOKEN = Identity("token 0a1b2c3d")


def connection(number: int) -> Identity:
    return Identity(f"ipv4:10.0.0.7:{number}")


def shares(**limits: int) -> Shares:
    return Shares(AdmissionLimits(**limits), lambda requests: 0.01 * requests)


def test_two_hundred_connections_of_an_address_leave_a_quarter_of_the_room():
    room = shares(requests=64)
    let_in = 0
    for number in range(200):
        if room.refusal(connection(number), 10) is None:
            room.enter(connection(number), 10)
            let_in += 1
    assert let_in == 48
    assert room.refusal(OTHER, 10) is None
    assert room.refusal(TOKEN, 10) is None


def test_of_the_bytes_too_an_address_leaves_a_quarter():
    room = shares(message_bytes=1000)
    room.enter(connection(1), 700)
    reason, error = room.refusal(connection(2), 51) or ("", None)
    assert reason == "bytes"
    assert isinstance(error, Overloaded)
    assert "10.0.0.7 has 1 requests" in str(error)
    assert room.refusal(connection(2), 50) is None
    assert room.refusal(OTHER, 300) is None


def test_a_token_is_one_client_wherever_it_comes_from():
    room = shares(requests=8, client_requests=8)
    for _ in range(8):
        assert room.refusal(TOKEN, 1) is None
        room.enter(TOKEN, 1)


def test_streams_of_an_address_are_bounded_together():
    room = shares(client_streams=2)
    for number in range(8):
        room.open_stream(connection(number))
    with pytest.raises(Overloaded, match=r"10\.0\.0\.7 has 8 streams"):
        room.open_stream(connection(9))
    room.open_stream(OTHER)
    room.close_stream(connection(0))
    room.open_stream(connection(9))


def test_what_left_is_forgotten():
    room = shares()
    for client in (connection(1), connection(2), TOKEN):
        room.enter(client, 5)
    for client in (connection(1), connection(2), TOKEN):
        room.leave(client, 5)
    assert (room.requests, room.bytes, room.clients) == (0, 0, 0)
