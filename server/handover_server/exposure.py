"""Where a server may listen: this machine alone, unless it is encrypted and asks for a token."""

import logging
from typing import TYPE_CHECKING

from handover_proto.errors import UsageError
from handover_proto.loopback import is_loopback

if TYPE_CHECKING:
    from handover_server.serve import ServeConfig

logger = logging.getLogger(__name__)


def check_exposure(config: "ServeConfig") -> None:
    """Raise UsageError for an address that the flags do not make safe, or flags that miss another.

    The rule holds for every port of the server: gRPC, metrics, gateways.
    """
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both")
    if config.client_ca is not None and config.tls_cert is None:
        raise UsageError("--client-ca needs --tls-cert and --tls-key")
    if config.insecure or (config.tls_cert is not None and config.token_file is not None):
        return
    for flag, host in (("--host", config.host), ("--metrics-host", config.metrics_host)):
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


def warn_of_exposure(config: "ServeConfig") -> None:
    """Log what --insecure leaves open."""
    if is_loopback(config.host) and is_loopback(config.metrics_host):
        return
    if config.token_file is None:
        logger.warning("anyone who reaches %s is served (--insecure)", config.host)
    if config.tls_cert is None:
        logger.warning("whatever goes to and from %s is unencrypted (--insecure)", config.host)
