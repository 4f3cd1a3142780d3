"""Ports that the server wants: whether each is free, and what to do where it is not."""

import errno
import socket

from handover_common import host_port

from handover_server.errors import ServingError

_REMEDIES = {
    errno.EADDRINUSE: "choose another --port (0 takes a free one) or stop what uses it",
    errno.EACCES: "only root may listen there: choose a --port from 1024 on",
}


def check_free(host: str, port: int) -> None:
    """Raise ServingError unless `host:port` can be used; gRPC's own message is a page long."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise ServingError(
            f"cannot listen on {host_port(host, port)}: {error.strerror or error}; "
            + _REMEDIES.get(error.errno or 0, "expected an address of this machine as --host")
        ) from None
