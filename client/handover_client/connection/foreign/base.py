"""Base of the clients of other projects' servers: what PolicyClient does, over their protocols."""

import abc
import dataclasses
import threading
import time
from typing import Any, ClassVar

from google.protobuf.message import DecodeError
from handover_proto import (
    ActionChunk,
    ActionPrefix,
    EncodedImage,
    ImageCodec,
    InvalidRequest,
    Limits,
    Observation,
    PolicyRequest,
    PolicySpec,
    ServerInfo,
    ServerUnavailable,
    StageDurations,
    UnmetPrecondition,
    check_request,
)
from handover_proto import policy_pb2 as pb
from handover_proto.msgpack_wire import unpack

from handover_client.connection.foreign.address import ServerAddress
from handover_client.connection.foreign.duplex import Deadline
from handover_client.connection.foreign.spec_file import ToldSpec
from handover_client.connection.readiness import Patience, check_info
from handover_client.connection.requests import check_chunk
from handover_client.connection.security import UNPROTECTED, ChannelSecurity
from handover_client.errors import InvalidReply


class ForeignClient(abc.ABC):
    """A policy behind another project's server; made by `connect_server`, a context manager.

    Every call has a deadline. A connection that breaks, or whose reply is late, is closed and made
    again by the next call; the calls in between raise ServerUnavailable. Threads may share a
    client, and take turns.
    """

    protocol: ClassVar[str]  # as people call it

    def __init__(
        self,
        address: ServerAddress,
        call_timeout_s: float = 10.0,
        security: ChannelSecurity = UNPROTECTED,
        told: ToldSpec | None = None,
    ) -> None:
        """Connect to nothing yet. Raises UsageError for protection that the protocol lacks."""
        security.check(address.place)
        self.address, self.image_codec = address.text, ImageCodec.RAW_RGB8
        self.call_timeout_s = call_timeout_s
        self._place, self._security = address, security
        self._told = told or ToldSpec()
        self._info: ServerInfo | None = None
        self._link: Any = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def info(self) -> ServerInfo:
        """What the server serves, as of the last handshake."""
        if self._info is None:
            raise ServerUnavailable(f"not connected to {self.address}: use connect_server")
        return self._info

    def wait_until_ready(self, timeout_s: float) -> ServerInfo:
        """Try until the server is ready and shakes hands; also after it was restarted."""
        patience = Patience(self.address, timeout_s)
        while True:
            try:
                return self.get_info(timeout_s=patience.attempt_s())
            except patience.errors as error:
                time.sleep(patience.pause_s(error))

    def get_info(self, *, timeout_s: float | None = None) -> ServerInfo:
        """Make sure that the server answers, and return what it serves.

        Raises NotTold where neither the protocol nor the user tells what is needed.
        """
        self._in_turn(self._meet, timeout_s)
        return self.info

    def infer(
        self,
        observation: Observation,
        *,
        seed: int | None = None,
        sequence: int = 0,
        client_tag: str = "",
        prefix: ActionPrefix | None = None,
        max_age_ms: int | None = None,
        timeout_s: float | None = None,
    ) -> ActionChunk:
        """Ask for the chunk that follows `observation`; as PolicyClient.infer.

        A server that takes no seeds (`info.spec.supports_seed`) draws its own noise. Neither
        protocol has a `max_age_ms`: the deadline of the call is all there is.
        """
        seed = seed if self.info.spec.supports_seed else None
        request = PolicyRequest(observation, seed, sequence, client_tag, prefix)
        chunk = self.exchange(self.seal(request), timeout_s=timeout_s)
        return dataclasses.replace(chunk, sequence=sequence, client_tag=client_tag)

    def seal(self, request: PolicyRequest) -> bytes:
        """Serialise a request that the server will accept; raises InvalidRequest."""
        spec, limits = self.info.spec, self.info.limits
        if request.prefix is not None:
            raise UnmetPrecondition(f"{self.protocol}'s protocol has no real-time chunking")
        check_request(request, spec, limits)
        for name, frames in request.observation.cameras.items():
            if any(isinstance(frame, EncodedImage) for frame in frames):
                field = f'observation.cameras["{name}"]'
                raise InvalidRequest(field, f"arrays, for {self.protocol}", "a compressed frame")
        data = self._encode(request)
        if len(data) > limits.max_message_bytes:
            limit = f"at most {limits.max_message_bytes} bytes"
            raise InvalidRequest("request", limit, f"{len(data)}; make the images smaller")
        return data

    def exchange(self, data: bytes, *, timeout_s: float | None = None) -> ActionChunk:
        """Send a sealed request, and check what comes back as `infer` does."""

        def ask(deadline: Deadline) -> ActionChunk:
            self._meet_once(deadline)
            return self._ask(data, deadline)

        chunk = self._in_turn(ask, timeout_s)
        check_chunk(chunk, self.info.spec)
        return chunk

    def close(self) -> None:
        """Close the connection; calls under way end with ServerUnavailable."""
        self._closed = True
        self._drop()

    def __enter__(self) -> "ForeignClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abc.abstractmethod
    def _open(self, deadline: Deadline) -> Any:
        """Return a new connection."""

    @abc.abstractmethod
    def _meet(self, deadline: Deadline) -> None:
        """Make sure that the server answers, and learn what it serves where that is not known."""

    @abc.abstractmethod
    def _encode(self, request: PolicyRequest) -> bytes:
        """Serialise a request that was checked."""

    @abc.abstractmethod
    def _ask(self, data: bytes, deadline: Deadline) -> ActionChunk:
        """Send a request and read its reply, into arrays of any shape."""

    def _meet_once(self, deadline: Deadline) -> None:
        if self._info is None:
            self._meet(deadline)

    def _in_turn(self, call: Any, timeout_s: float | None) -> Any:
        """Make a call alone; its connection is closed when it fails.

        A connection that was open before, and turns out to be broken, is made again once: the
        server was restarted in between.
        """
        timeout_s = self.call_timeout_s if timeout_s is None else timeout_s
        deadline = Deadline(self.address, timeout_s)
        if not self._lock.acquire(timeout=timeout_s):
            raise deadline.passed()
        try:
            was_open = self._link is not None
            try:
                return self._attempt(call, deadline)
            except ServerUnavailable:
                if not was_open or self._closed:
                    raise
                return self._attempt(call, deadline)
        finally:
            self._lock.release()

    def _attempt(self, call: Any, deadline: Deadline) -> Any:
        if self._closed:
            raise ServerUnavailable(f"the client of {self.address} was closed")
        try:
            if self._link is None:
                self._link = self._open(deadline)
            return call(deadline)
        except InvalidRequest as error:  # the arrays' word for bytes that do not fit their shape
            self._drop()
            raise InvalidReply(error.field, error.expected, error.got) from None
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def read_message(data: bytes) -> Any:
    """Read a reply's msgpack within bounds; raises InvalidReply."""
    try:
        return unpack(data)
    except InvalidRequest as error:
        raise InvalidReply(error.field, error.expected, error.got) from None


def own_info(data: Any, address: str) -> ServerInfo:
    """Read GetInfo's reply, as a gateway of Handover's tells it; raises InvalidReply.

    What no other protocol carries is taken out: prefixes and compressed images.
    """
    try:
        message = pb.GetInfoReply.FromString(data if isinstance(data, bytes) else b"")
    except DecodeError:
        raise InvalidReply("get_info", "a GetInfoReply", "other bytes") from None
    info = check_info(message, address)
    spec = dataclasses.replace(info.spec, supports_prefix=False, learned_delay_steps=0)
    return dataclasses.replace(info, spec=spec, image_codecs=(ImageCodec.RAW_RGB8,))


def told_info(spec: PolicySpec) -> ServerInfo:
    """The info of a server that does not tell it."""
    return ServerInfo(spec, Limits(), image_codecs=(ImageCodec.RAW_RGB8,))


def own_words(described: Any) -> dict[str, Any]:
    """Read what a gateway of Handover's says beside a chunk; raises InvalidReply."""
    if not isinstance(described, dict):
        return {}
    seed, digest = described.get("seed", 0), described.get("checkpoint_hash", "")
    durations = described.get("durations", {})
    known = set(vars(StageDurations()))
    if (
        type(seed) is not int
        or not isinstance(digest, str)
        or not isinstance(durations, dict)
        or set(durations) - known
        or not all(type(took_ms) in (int, float) for took_ms in durations.values())
    ):
        raise InvalidReply("handover", "seed, checkpoint_hash and durations", "something else")
    return {
        "seed": seed,
        "checkpoint_hash": digest,
        "durations": StageDurations(**{name: float(ms) for name, ms in durations.items()}),
    }
