"""ZMTP 3 by hand (rfc.zeromq.org/spec/23), as much of it as REQ and DEALER sockets need.

libzmq takes in a message before it tells anybody of it: any number of parts, from any number of
connections. Here the bytes and parts of each message are bounded while they come, a connection
has one message in the server at a time, and the time for the rest of it is bounded too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from handover_server.connections.guard import ConnectionGuard
from handover_server.connections.peers import peer_name

MAX_PARTS = 16  # of a message: delimiter and body, and what a mistaken client may add
_MAX_COMMAND = 4096
_WHOLE_S = 10.0  # within which the greeting, and the rest of a message, must come
_LIMIT = 1024 * 1024  # bytes of a connection that wait to be looked at

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SIGNATURE_END, _MAJOR, _MECHANISM = 9, 10, slice(12, 32)
_MORE, _LONG, _COMMAND = 1, 2, 4
_READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00"
_PING, _PONG, _CONTEXT = b"\x04PING", b"\x04PONG", slice(7, 23)  # a ping's time to live is skipped

Answer = Callable[[list[bytes], str], Awaitable[list[bytes]]]


class NotZmtp(Exception):
    """A peer that does not speak ZMTP 3, or says more than it may."""


@dataclass
class ZmtpServer:
    """A socket like ROUTER, which answers each message of a peer before it reads the next.

    answer: returns the parts of the reply to a message's parts, given the peer's name
    most_bytes: of a message, all its parts together
    """

    answer: Answer
    most_bytes: int
    guard: ConnectionGuard

    def __post_init__(self) -> None:
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
        peer = peer_name("zmq", writer.get_extra_info("peername"))
        try:
            await _within(_WHOLE_S, _greet(reader, writer))
            while True:
                parts = await self._receive(reader, writer)
                self.guard.delivered(peer, sum(map(len, parts)))
                reply = await self._answer_unless_gone(parts, peer, reader)
                writer.write(b"".join(_framed(reply)))
                await _within(_WHOLE_S, writer.drain())
        except (NotZmtp, OSError, EOFError, asyncio.TimeoutError):
            pass  # that client is lost; ZMTP has no word for why
        finally:
            self._peers.discard(task)
            writer.transport.abort()

    async def _answer_unless_gone(
        self, parts: list[bytes], peer: str, reader: asyncio.StreamReader
    ) -> list[bytes]:
        """Answer a message; an unanswered one of a peer that hangs up is withdrawn."""
        answering = asyncio.ensure_future(self.answer(parts, peer))
        parts = []
        try:
            while not answering.done():
                await asyncio.wait({answering}, timeout=_LOOK_S)
                if reader.at_eof():
                    raise EOFError
            return answering.result()
        finally:
            answering.cancel()

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[bytes]:
        """Return the parts of the next message, however long it takes to begin."""
        flags, body = await self._frame(reader, writer, 0)
        parts, size = [body], len(body)
        while flags & _MORE:
            if len(parts) == MAX_PARTS:
                raise NotZmtp(f"more than {MAX_PARTS} parts")
            flags, body = await _within(_WHOLE_S, self._frame(reader, writer, size))
            parts.append(body)
            size += len(body)
        return parts

    async def _frame(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: int
    ) -> tuple[int, bytes]:
        """Return flags and body of the next part of a message; commands in between are obeyed."""
        while True:
            flags = (await reader.readexactly(1))[0]
            width = 8 if flags & _LONG else 1
            rest = _rest_of_frame(reader, width, flags, self.most_bytes - before)
            body = await _within(_WHOLE_S, rest)
            if not flags & _COMMAND:
                return flags, body
            if body.startswith(_PING):
                pong = _PONG + body[_CONTEXT]
                writer.write(bytes([_COMMAND, len(pong)]) + pong)
                await _within(_WHOLE_S, writer.drain())


_LOOK_S = 0.25  # how often a peer whose message is being answered is looked at


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Exchange greetings and the READY commands of the mechanism NULL."""
    writer.write(_GREETING)
    greeting = await reader.readexactly(len(_GREETING))
    if greeting[0] != 0xFF or greeting[_SIGNATURE_END] != 0x7F or greeting[_MAJOR] < 3:
        raise NotZmtp("another protocol, or an older version")
    if greeting[_MECHANISM].rstrip(b"\0") != b"NULL":
        raise NotZmtp("another mechanism")
    writer.write(bytes([_COMMAND, len(_READY)]) + _READY)
    flags, width = (await reader.readexactly(1))[0], 1
    width = 8 if flags & _LONG else 1
    ready = await _rest_of_frame(reader, width, flags, 0)
    if not flags & _COMMAND or not ready.startswith(b"\x05READY"):
        raise NotZmtp("no READY")


async def _rest_of_frame(
    reader: asyncio.StreamReader, width: int, flags: int, most_bytes: int
) -> bytes:
    size = int.from_bytes(await reader.readexactly(width), "big")
    if size > (_MAX_COMMAND if flags & _COMMAND else most_bytes):
        raise NotZmtp(f"{size} bytes")
    return await reader.readexactly(size)


def _framed(parts: list[bytes]) -> list[bytes]:
    """Return a message as what goes over the wire."""
    framed = []
    for index, part in enumerate(parts):
        more = _MORE if index + 1 < len(parts) else 0
        if len(part) < 256:
            framed.append(bytes([more, len(part)]))
        else:
            framed.append(bytes([more | _LONG]) + len(part).to_bytes(8, "big"))
        framed.append(part)
    return framed


async def _within(seconds: float, work: Awaitable):
    return await asyncio.wait_for(work, seconds)
