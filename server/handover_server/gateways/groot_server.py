"""Isaac-GR00T N1.6's protocol over ZeroMQ: ping, get_modality_config, get_action, reset.

Its clients are REQ sockets; ours is a ROUTER, so that they do not wait for each other, and a
message with a wrong number of frames gets an error like any other mistake. `kill` is refused.
"""

import asyncio
import logging
from typing import Any

import zmq
import zmq.asyncio
from handover_common import host_port
from handover_proto import MAX_MESSAGE_BYTES, InvalidRequest, NotAuthorised, PolicyError

from handover_server.gateways.calls import infer_together, refusals_counted
from handover_server.gateways.groot_messages import (
    action_reply,
    error_reply,
    modality_config_reply,
    read_batch,
)
from handover_server.gateways.msgpack_guard import pack, unpack
from handover_server.inference.admission import Admission
from handover_server.requests.outcome import record_incident
from handover_server.requests.request import Lane
from handover_server.security.tokens import Identity, TokenCheck

logger = logging.getLogger(__name__)

_MAX_UNDER_WAY = 256  # messages read but not answered, of all clients
_MAX_FRAMES = 4  # of a message: identity, delimiter, body
_UNAUTHORISED = "Unauthorized: Invalid API token"  # the reference's wording, which clients may know
_KILL = "kill is disabled: the server's operator stops it (SIGTERM)"


class GrootZmqServer:
    """Serves Isaac-GR00T's clients."""

    def __init__(self, admission: Admission, tokens: TokenCheck) -> None:
        self._admission = admission
        self._tokens = tokens
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._room = asyncio.Semaphore(_MAX_UNDER_WAY)
        self._answering: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Number of messages being answered."""
        return len(self._answering)

    async def open(self, host: str, port: int) -> int:
        """Listen and return the port; raises OSError when it cannot be used."""
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 4)  # messages that wait in memory, of each client
        self._socket.setsockopt(zmq.SNDHWM, 16)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 20_000)
        if ":" in host:
            self._socket.setsockopt(zmq.IPV6, 1)
        try:
            self._socket.bind(f"tcp://{host_port(host, port)}")
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror) from None
        bound = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        self._reader = asyncio.create_task(self._read())
        return int(bound.rstrip(b"\0").rpartition(b":")[2])

    async def close(self) -> None:
        """Stop answering."""
        tasks = [task for task in (self._reader, *self._answering) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._context.destroy(linger=0)

    async def _read(self) -> None:
        while True:
            await self._room.acquire()
            frames = await self._socket.recv_multipart()
            task = asyncio.create_task(self._respond(frames))
            del frames
            self._answering.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._answering.discard(task)
        self._room.release()

    async def _respond(self, frames: list[bytes]) -> None:
        """Answer one message, whatever it is: a REQ socket without a reply waits forever."""
        delimiter = frames.index(b"", 1) if b"" in frames[1:_MAX_FRAMES] else 0
        envelope, body = frames[: delimiter + 1], frames[delimiter + 1 :]
        del frames
        try:
            if len(body) != 1:
                raise InvalidRequest("message", "one frame", f"{len(body)}")
            reply = await self._answer(body.pop(), envelope[0])
        except NotAuthorised:
            self._admission.observer.refused("unauthenticated")
            reply = error_reply(_UNAUTHORISED)
        except PolicyError as error:
            reply = error_reply(str(error))
        except Exception as error:  # the process's edge: no client's message may end the server
            reply = error_reply(str(record_incident("a ZMQ request failed", error)))
        await self._socket.send_multipart([*envelope, reply])

    async def _answer(self, data: bytes, address: bytes) -> bytes:
        with refusals_counted(self._admission):
            message = unpack(data)
        del data
        if not isinstance(message, dict):
            raise InvalidRequest("message", "a map with an endpoint", type(message).__name__)
        token = message.get("api_token")
        client = self._tokens.identify(
            token if isinstance(token, str) else None, f"zmq:{address[:32].hex()}"
        )
        endpoint = message.get("endpoint", "get_action")
        if endpoint == "get_action":
            return await self._get_action(message.get("data"), client)
        return self._small_answer(endpoint)

    def _small_answer(self, endpoint: Any) -> bytes:
        if endpoint == "ping":
            return pack({"status": "ok", "message": "Server is running"})
        if endpoint == "reset":  # nothing to reset: the server keeps no client's state
            return pack({})
        if endpoint == "get_modality_config":
            return modality_config_reply(self._admission.info.spec)
        if endpoint == "kill":
            return error_reply(_KILL)
        return error_reply(f"Unknown endpoint: {str(endpoint)[:80]}")

    async def _get_action(self, data: Any, client: Identity) -> bytes:
        spec = self._admission.info.spec
        with refusals_counted(self._admission):
            requests = read_batch(data, spec)
        lanes = [Lane(client) for _ in requests]
        return action_reply(await infer_together(self._admission, requests, lanes), spec)
