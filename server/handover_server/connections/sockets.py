"""Sockets of this process that other parts of it own: looked at, never closed."""

import contextlib
import logging
import resource
import socket
import struct
from collections.abc import Iterator

# linux/tcp.h, struct tcp_info: tcpi_last_data_recv (ms), tcpi_bytes_received
_TCP_INFO = struct.Struct("=52xI72xQ")
_OTHER_FILES = 256  # beside connections: metrics, libraries, the recording, the log

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def borrowed(fd: int, *kind: int) -> Iterator[socket.socket]:
    """Yield a socket over a file that another part of the process owns, which stays open."""
    peer = socket.socket(*kind, fileno=fd)
    try:
        yield peer
    finally:
        peer.detach()


def received_on(fd: int) -> tuple[int, int] | None:
    """Return the ms since something came on a TCP socket, and the bytes that came; None: gone."""
    try:
        with borrowed(fd, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as peer:
            counts = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # closed in the meantime
        return None
    return _TCP_INFO.unpack(counts) if len(counts) == _TCP_INFO.size else None


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files for so many connections; returns how many there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = wanted + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    room = max(soft, most) - _OTHER_FILES
    if room < wanted:
        logger.warning("at most %d connections: ulimit -n leaves room for no more", max(1, room))
    return max(1, min(wanted, room))
