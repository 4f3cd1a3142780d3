"""ZMTP 3 by hand (rfc.zeromq.org/spec/23), as much of it as REQ and DEALER sockets need.

libzmq takes in a message before it tells anybody of it: any number of parts, from any number of
connections. Here the bytes and parts of each message are bounded while they come, a connection
has one message in the server at a time, and the time for the rest of it is bounded too.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

from handover_server.connections.peers import peer_name

MAX_PARTS = 32  # of a message: delimiter and body, and what a mistaken client may add
_MAX_COMMAND = 4096
_WHOLE_S = 10.0  # within which the greeting, and the rest of a message, must come
_LOOK_S = 0.25  # how often a peer whose message is being answered is looked at
_LIMIT = 1024 * 1024  # bytes of a connection that wait to be looked at

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SIGNATURE_END, _MAJOR, _MECHANISM = 9, 10, slice(12, 32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00"
_PING, _PONG, _CONTEXT = b"\x04PING", b"\x04PONG", slice(7, 23)  # a ping's time to live is skipped

Answer = Callable[[list[bytes], str], Awaitable[list[bytes]]]


class NotZmtp(Exception):
    """A peer that does not speak ZMTP 3, or says more than it may."""


class ZmtpServer:
    """A socket like ROUTER, which answers each message of a peer before it reads the next.

    answer: returns the parts of the reply to a message's parts, given the peer's name
    most_bytes: of a message, all its parts together
    delivered: called with a peer's name and the size of each whole message
    """

    def __init__(
        self, answer: Answer, most_bytes: int, delivered: Callable[[str, int], None]
    ) -> None:
        self._answer, self._most_bytes, self._delivered = answer, most_bytes, delivered
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen and return the port; raises OSError when it cannot be used."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LIMIT)
        return self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and hang up on every peer."""
        if self._server is not None:
            self._server.close()
        for peer in self._peers:
            peer.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "start_server calls this in a task"
        self._peers.add(task)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = peer_name("zmq", writer.get_extra_info("peername"))
        try:
            with _hurried(writer):
                await _greet(reader, writer)
            while True:
                parts = await self._receive(reader, writer)
                self._delivered(peer, sum(map(len, parts)))
                answering = asyncio.ensure_future(self._answer(parts, peer))
                del parts  # an idle peer's connection holds no image
                await _unless_gone(answering, reader)
                with _hurried(writer):
                    writer.writelines(_framed(answering.result()))
                    await writer.drain()
        except (NotZmtp, OSError, EOFError) as error:
            # That peer is lost; ZMTP has no word for why. The reader keeps the error, whose frames
            # keep the reader, and with it what came of a message.
            error.__traceback__ = None
        finally:
            self._peers.discard(task)
            writer.transport.abort()

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[bytes]:
        """Return the parts of the next message, however long it takes to begin."""
        flags = await _next_frame(reader, writer)
        with _hurried(writer):
            parts = [await _body(reader, flags, self._most_bytes)]
            left = self._most_bytes
            while flags & _MORE:
                left -= len(parts[-1])
                flags = await _next_frame(reader, writer)
                if len(parts) == MAX_PARTS:
                    raise NotZmtp(f"more than {MAX_PARTS} parts")
                parts.append(await _body(reader, flags, left))
            return parts


async def _next_frame(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Return the flags of the next frame that is part of a message; pings before it get a pong."""
    while (flags := (await reader.readexactly(1))[0]) & _COMMAND:
        with _hurried(writer):
            command = await _body(reader, flags, 0)
            if command.startswith(_PING):
                writer.write(_command(_PONG + command[_CONTEXT]))
                await writer.drain()
    return flags


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Exchange greetings and the READY commands of the mechanism NULL."""
    writer.write(_GREETING)
    greeting = await reader.readexactly(len(_GREETING))
    if greeting[0] != 0xFF or greeting[_SIGNATURE_END] != 0x7F or greeting[_MAJOR] < 3:
        raise NotZmtp("another protocol, or an older version")
    if greeting[_MECHANISM].rstrip(b"\0") != b"NULL":
        raise NotZmtp("another mechanism")
    writer.write(_command(_READY))
    flags = (await reader.readexactly(1))[0]
    if not flags & _COMMAND or not (await _body(reader, flags, 0)).startswith(_READY[:6]):
        raise NotZmtp("no READY")


async def _body(reader: asyncio.StreamReader, flags: int, most_bytes: int) -> bytes:
    """Return the rest of a frame that begins with these flags; raises NotZmtp if it is larger."""
    size = int.from_bytes(await reader.readexactly(8 if flags & _LONG else 1), "big")
    if size > (_MAX_COMMAND if flags & _COMMAND else most_bytes):
        raise NotZmtp(f"{size} bytes")
    return await reader.readexactly(size)


async def _unless_gone(answering: asyncio.Future, reader: asyncio.StreamReader) -> None:
    """Wait for an answer; raises EOFError, and withdraws it, when its peer leaves first."""
    try:
        while not answering.done():
            await asyncio.wait({answering}, timeout=_LOOK_S)
            if reader.at_eof():
                raise EOFError
    finally:
        answering.cancel()


@contextlib.contextmanager
def _hurried(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Hang up on a peer with which the block takes too long: what it waits for then fails."""
    late = asyncio.get_running_loop().call_later(_WHOLE_S, writer.transport.abort)
    try:
        yield
    finally:
        late.cancel()


def _framed(parts: list[bytes]) -> list[bytes]:
    """Return a message as what goes over the wire."""
    framed = []
    for index, part in enumerate(parts):
        more = _MORE if index + 1 < len(parts) else 0
        short = bytes([more, len(part)]) if len(part) < 256 else b""
        framed += [short or bytes([more | _LONG]) + len(part).to_bytes(8, "big"), part]
    return framed


def _command(body: bytes) -> bytes:
    return bytes([_COMMAND, len(body)]) + body
