"""The traffic of a soak: every kind of client that a server meets, each asking once when told to.

Each kind gives the name of its outcome; a kind that raises has found a fault.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np
from handover_client.connection.policy_client import PolicyClient
from handover_proto import policy_pb2 as pb
from handover_proto.embodiment import aloha_state_groups
from handover_proto.errors import PolicyError, Superseded
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import ImageCodec, Observation, PolicyRequest
from handover_proto.wire.codec import compress
from handover_proto.wire.messages import serialize_request

TIMEOUT_S = 20.0
INFER = "/handover.policy.v1.PolicyService/Infer"
CAMERA = "ego_view"
# An HTTP/2 preface and empty SETTINGS (RFC 9113, 3.4): a connection that then says no more.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

Kind = Callable[[], str]


class LostRequest(Exception):
    """A request got neither an answer nor an error within its deadline."""


def observe(height: int, width: int, codec: ImageCodec) -> Observation:
    """A frame with edges, compressed once, and a pose."""
    rows, columns = np.mgrid[0:height, 0:width]
    frame = np.stack([rows // 2, columns // 3, (rows ^ columns) // 4], axis=-1).astype(np.uint8)
    sent = frame if codec is ImageCodec.RAW_RGB8 else compress(frame, codec)
    state = aloha_state_groups(np.linspace(-1, 1, 14, dtype=np.float32))
    return Observation({CAMERA: [sent]}, state, "transfer the cube")


@dataclass
class Traffic:
    """One long connection, beside which others come and go."""

    address: str
    random: np.random.Generator

    def __post_init__(self) -> None:
        self._client = PolicyClient.connect(self.address, call_timeout_s=TIMEOUT_S)
        self._raw = observe(256, 256, ImageCodec.RAW_RGB8)
        self._jpeg = observe(480, 640, ImageCodec.JPEG)
        self._stream = self._client.stream()
        self._sequence = 0
        self._idle: list[socket.socket] = []

    @property
    def kinds(self) -> dict[str, tuple[Kind, int]]:
        """What may be asked, and how often in relation to the others."""
        return {
            "unary, raw 256x256": (lambda: self._ask(self._raw), 8),
            "unary, jpeg 480x640": (lambda: self._ask(self._jpeg), 8),
            "stream, newest of four": (self._burst, 6),
            "garbage": (self._garbage, 4),
            "cancelled": (self._cancel, 4),
            "connect, ask, disconnect": (self._visit, 2),
            "stream opened and dropped": (self._drop_stream, 2),
            "half a connection": (self._half_open, 1),
            "slow reader": (self._read_slowly, 1),
            "info and health": (self._look, 1),
        }

    def close(self) -> None:
        """End every connection."""
        self._stream.close()
        self._client.close()
        for connection in self._idle:
            connection.close()

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _ask(self, observation: Observation) -> str:
        chunk = self._client.infer(observation, sequence=self._next(), seed=1)
        return "answered" if chunk.sequence == self._sequence else "another's answer"

    def _burst(self) -> str:
        sent = [self._next() for _ in range(4)]
        for sequence in sent:
            self._stream.send(self._raw, sequence=sequence)
        answers = [self._stream.receive(timeout_s=TIMEOUT_S) for _ in sent]
        if sorted(answer.sequence for answer in answers) != sent:
            raise LostRequest(f"{sent} were answered as {[a.sequence for a in answers]}")
        unexpected = [a.error for a in answers if a.error and not isinstance(a.error, Superseded)]
        if unexpected or answers[-1].chunk is None:
            raise LostRequest(f"the newest of {sent} got {unexpected or answers[-1].error}")
        return "answered or superseded"

    def _garbage(self) -> str:
        data = bytes(self.random.integers(0, 256, int(self.random.integers(1, 20_000)), np.uint8))
        if self.random.random() < 0.5:  # a message of ours that breaks in its middle
            whole = serialize_request(PolicyRequest(self._jpeg))
            data = whole[: int(self.random.integers(1, len(whole)))] + data[:50]
        with grpc.insecure_channel(self.address) as channel:
            try:
                channel.unary_unary(INFER)(data, timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                return f"refused, {error.code().name}"  # type: ignore[attr-defined]
        raise LostRequest("garbage was answered")

    def _cancel(self) -> str:
        with grpc.insecure_channel(self.address) as channel:
            request = PolicyRequest(self._raw, sequence=self._next())
            message = pb.InferRequest.FromString(serialize_request(request))
            call = PolicyServiceStub(channel).Infer.future(message, timeout=TIMEOUT_S)
            time.sleep(float(self.random.uniform(0, 0.01)))
            return "cancelled" if call.cancel() else "answered first"

    def _visit(self) -> str:
        with PolicyClient.connect(self.address, call_timeout_s=TIMEOUT_S) as client:
            client.infer(self._jpeg, sequence=self._next())
        return "answered"

    def _drop_stream(self) -> str:
        with PolicyClient.connect(self.address) as client:
            stream = client.stream()
            for _ in range(int(self.random.integers(1, 4))):
                stream.send(self._raw, sequence=self._next())
            stream.close()
        return "dropped"

    def _half_open(self) -> str:
        """Leave a connection in the middle of a frame; up to four of them linger."""
        host, _, port = self.address.rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
        connection.sendall(_PREFACE + struct.pack(">I", 5_000)[1:])
        self._idle.append(connection)
        if len(self._idle) > 4:
            self._idle.pop(0).close()
        return "left open"

    def _read_slowly(self) -> str:
        """Send twenty requests on a stream, and only then read."""
        with grpc.insecure_channel(self.address) as channel:
            sent = [self._next() for _ in range(20)]
            requests = (PolicyRequest(self._jpeg, sequence=each) for each in sent)
            messages = map(pb.InferRequest.FromString, map(serialize_request, requests))
            replies = PolicyServiceStub(channel).InferStream(messages, timeout=TIMEOUT_S)
            time.sleep(1.0)
            got = sorted(reply.sequence for reply in replies)
        if got != sent:
            raise LostRequest(f"a slow reader sent {len(sent)} and got {len(got)}")
        return "answered or superseded"

    def _look(self) -> str:
        self._client.get_info()
        self._client.wait_until_ready(TIMEOUT_S)
        with contextlib.suppress(PolicyError), grpc.insecure_channel(self.address) as channel:
            PolicyServiceStub(channel).GetInfo(pb.GetInfoRequest(), timeout=TIMEOUT_S)
        return "answered"
