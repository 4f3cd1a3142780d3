"""Peers as gRPC and sockets name them, and the address that several share."""

import pytest
from handover_server.connections.peers import address_of, network_of, peer_name, place_of


@pytest.mark.parametrize(
    ("peer", "place"),
    [
        ("ipv4:10.0.0.7:50000", ("10.0.0.7", 50000)),
        ("ipv6:%5B2001:db8::7%5D:50000", ("2001:db8::7", 50000)),
        ("ipv6:[fe80::1%25eth0]:9", ("fe80::1", 9)),
        (peer_name("websocket", ("::ffff:10.0.0.7", 50000, 0, 0)), ("10.0.0.7", 50000)),
        (peer_name("zmq", ("10.0.0.7", 50000)), ("10.0.0.7", 50000)),
    ],
)
def test_a_peers_name_leads_to_its_host_and_port(peer, place):
    assert place_of(peer) == place


@pytest.mark.parametrize("peer", ["", "unix:/tmp/socket", "token 0a1b2c3d", "ipv4:10.0.0.7"])
def test_other_names_lead_nowhere_and_are_shared_with_nobody(peer):
    assert place_of(peer) is None
    assert address_of(peer) == peer


def test_connections_of_a_host_share_its_address():
    assert address_of("ipv4:10.0.0.7:1") == address_of("zmq:10.0.0.7:2") == "10.0.0.7"
    assert address_of("ipv4:10.0.0.8:1") != address_of("ipv4:10.0.0.7:1")


def test_a_site_with_ipv6_is_one_address_however_many_it_uses():
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:5::6") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::4") == "2001:db8:1:3::/64"
