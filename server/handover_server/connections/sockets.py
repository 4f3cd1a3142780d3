"""Sockets of this process that other parts of it own: looked at, never closed."""

import contextlib
import resource
import socket
import struct
from collections.abc import Iterator

# linux/tcp.h, struct tcp_info: tcpi_last_data_recv (ms), tcpi_bytes_received
_TCP_INFO = struct.Struct("=52xI72xQ")


@contextlib.contextmanager
def borrowed(fd: int, *kind: int) -> Iterator[socket.socket]:
    """Yield a socket over a file that another part of the process owns, which stays open."""
    peer = socket.socket(*kind, fileno=fd)
    try:
        yield peer
    finally:
        peer.detach()


def received(fd: int) -> tuple[int, int] | None:
    """Return the ms since something came on a TCP socket, and the bytes that came; None: gone."""
    try:
        with borrowed(fd, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as peer:
            counts = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # closed in the meantime
        return None
    return _TCP_INFO.unpack(counts) if len(counts) == _TCP_INFO.size else None


def raise_file_limit(wanted: int) -> None:
    """Raise the number of files that this process may open to `wanted`, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
