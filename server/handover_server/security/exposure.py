"""Exposure rule: a server listens on loopback, unless it is encrypted and requires tokens."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from handover_common import UsageError, is_loopback

logger = logging.getLogger(__name__)

_OR_ELSE = "use 127.0.0.1 (and an ssh tunnel), or say --insecure if the network is yours alone"


@dataclass(frozen=True)
class Listener:
    """An address to listen on, and the flag that names it."""

    flag: str
    host: str


def check_listeners(listeners: Sequence[Listener], *, tls: bool, tokens: bool) -> None:
    """Raise UsageError for an address on the network that is not encrypted or needs no token.

    The rule holds for every port of the server: gRPC, metrics, gateways.
    """
    missing = [
        flags
        for flags, given in (("--tls-cert --tls-key", tls), ("--token-file", tokens))
        if not given
    ]
    for listener in listeners if missing else ():
        if not is_loopback(listener.host):
            raise UsageError(
                f"{listener.flag} {listener.host} would serve anyone on the network; add "
                f"{' and '.join(missing)}, {_OR_ELSE}"
            )


def check_zmq(host: str, *, client_ca: bool) -> None:
    """Raise UsageError where ZMQ, which has neither TLS nor certificates, would be a bypass."""
    if not is_loopback(host):
        raise UsageError(
            f"--groot-zmq-port on {host} would be unencrypted, ZMQ has no TLS; {_OR_ELSE}"
        )
    if client_ca:
        raise UsageError(
            "--groot-zmq-port lets clients in without the certificate of --client-ca; "
            "leave one of them out, or say --insecure"
        )


def warn_of_exposure(listeners: Sequence[Listener], *, tls: bool, tokens: bool) -> None:
    """Log what --insecure leaves open."""
    open_ones = [one for one in listeners if not is_loopback(one.host)]
    hosts = ", ".join(f"{one.flag} {one.host}" for one in open_ones)
    if hosts and not tokens:
        logger.warning("anyone who reaches %s is served (--insecure)", hosts)
    if hosts and not tls:
        logger.warning("all traffic of %s is unencrypted (--insecure)", hosts)
