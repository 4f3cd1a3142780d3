"""Peers of connections, as gRPC and sockets name them: their place, and the address they share."""

import functools
import ipaddress
import urllib.parse
from collections.abc import Sequence
from typing import Any

_IPV6_SHARE = 64  # bits: a site's own addresses, of which it has as many as it likes (RFC 6177)
_KINDS = ("ipv4", "ipv6", "websocket", "zmq")

Place = tuple[str, int]


def peer_name(kind: str, address: Any) -> str:
    """Return the name of a socket's peer, as gRPC would: websocket:127.0.0.1:50000."""
    return f"{kind}:{address[0]}:{address[1]}"


def place_of(peer: str) -> Place | None:
    """Return host and port of a peer's name; None for any other name (a unix socket)."""
    kind, _, rest = peer.partition(":")
    host, colon, port = urllib.parse.unquote(rest).rpartition(":")
    if kind not in _KINDS or not colon or not port.isdecimal():
        return None
    return plain_host(host), int(port)


def plain_host(host: str) -> str:
    """Return a host without brackets and scope, and IPv4 as such on a socket of IPv6 too."""
    return host.strip("[]").partition("%")[0].removeprefix("::ffff:")


def socket_place(address: Sequence[Any]) -> Place:
    """Return host and port of what a socket gives as its peer."""
    return plain_host(str(address[0])), int(address[1])


@functools.lru_cache(4096)
def address_of(peer: str) -> str:
    """Return what the connections of one host have in common: its address, or IPv6 network.

    A name that is no connection's (a token's) is returned as it is.
    """
    place = place_of(peer)
    return peer if place is None else network_of(place[0])


@functools.lru_cache(4096)
def network_of(host: str) -> str:
    """Return an IPv4 address as it is, and an IPv6 address as its network of 64 bits."""
    try:
        if ipaddress.ip_address(host).version == 4:
            return host
    except ValueError:
        return host
    return str(ipaddress.ip_network((host, _IPV6_SHARE), strict=False))
