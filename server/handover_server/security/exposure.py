"""Where a server may listen: this machine alone, unless it is encrypted and asks for a token."""

import logging
from typing import TYPE_CHECKING

from handover_common import UsageError, is_loopback

if TYPE_CHECKING:
    from handover_server.serve.command import ServeConfig

logger = logging.getLogger(__name__)


def check_listeners(config: "ServeConfig") -> None:
    """Raise UsageError for an address that the flags do not make safe, or flags that miss another.

    The rule holds for every port of the server: gRPC, metrics, gateways.
    """
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both")
    if config.client_ca is not None and config.tls_cert is None:
        raise UsageError("--client-ca needs --tls-cert and --tls-key")
    _check_zmq(config)
    if config.insecure or (config.tls_cert is not None and config.token_file is not None):
        return
    for flag, host in _hosts(config):
        if not is_loopback(host):
            missing = [
                flags
                for flags, given in (
                    ("--tls-cert --tls-key", config.tls_cert),
                    ("--token-file", config.token_file),
                )
                if given is None
            ]
            raise UsageError(
                f"{flag} {host} would serve anyone on the network; add {' and '.join(missing)}, "
                "use 127.0.0.1 (and an ssh tunnel), or say --insecure if the network is yours alone"
            )


def _hosts(config: "ServeConfig") -> tuple[tuple[str, str], ...]:
    return (
        ("--host", config.host),
        ("--metrics-host", config.metrics_host),
        ("--gateway-host", config.gateway_host),
    )


def _check_zmq(config: "ServeConfig") -> None:
    """Raise UsageError where ZMQ, which has neither TLS nor certificates, would be a way around."""
    if config.insecure or config.groot_zmq_port is None:
        return
    if not is_loopback(config.gateway_host):
        raise UsageError(
            f"--groot-zmq-port on {config.gateway_host} would be unencrypted, ZMQ has no TLS; use "
            "127.0.0.1 (and an ssh tunnel), or say --insecure if the network is yours alone"
        )
    if config.client_ca is not None:
        raise UsageError(
            "--groot-zmq-port lets clients in without the certificate of --client-ca; "
            "leave one of them out, or say --insecure"
        )


def warn_of_exposure(config: "ServeConfig") -> None:
    """Log what --insecure leaves open."""
    hosts = ", ".join(f"{flag} {host}" for flag, host in _hosts(config) if not is_loopback(host))
    if not hosts:
        return
    if config.token_file is None:
        logger.warning("anyone who reaches %s is served (--insecure)", hosts)
    if config.tls_cert is None:
        logger.warning("whatever goes to and from %s is unencrypted (--insecure)", hosts)
