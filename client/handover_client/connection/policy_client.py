"""Policy client: a robot's connection to a policy server, for ordinary (blocking) code."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from handover_proto import (
    ActionChunk,
    ActionPrefix,
    ImageCodec,
    Observation,
    PolicyError,
    PolicyRequest,
    ServerInfo,
    ServerUnavailable,
)

from handover_client.connection.channel import ChannelOptions, ClientBase
from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.policy_stream import PolicyStream
from handover_client.connection.readiness import (
    HEALTH_REQUEST,
    Patience,
    check_health,
    check_info,
)
from handover_client.connection.requests import SealedRequest, check_codec, read_chunk, seal
from handover_client.connection.security import UNPROTECTED, ChannelSecurity
from handover_client.connection.stream_base import Reopening
from handover_client.connection.tls_diagnosis import find_tls_fault


class PolicyClient(ClientBase):
    """A policy on another machine: observations go out, action chunks come back.

    Made by `connect`; a context manager. Every call has a deadline. Threads may share a client; it
    finds a restarted server again by itself, and the calls in between raise ServerUnavailable.
    """

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        timeout_s: float = 60.0,
        call_timeout_s: float = 10.0,
        image_codec: ImageCodec | str = ImageCodec.RAW_RGB8,
        security: ChannelSecurity = UNPROTECTED,
        channel_options: ChannelOptions = (),
    ) -> "PolicyClient":
        """Wait until the server at HOST:PORT is ready, and ask what it serves.

        timeout_s: for becoming ready (a server loads and warms up its checkpoint first)
        call_timeout_s: for every later call that names no deadline of its own
        image_codec: raw, jpeg or png: how frames that come as arrays are sent; compressed frames go
            as they are
        security: TLS and token; without, only servers on this machine should be asked
        channel_options: gRPC's, over ours: (("grpc.enable_retries", 0),) switches retries off

        Raises UsageError for another form of address, or a token that would go unencrypted over the
        network, UntrustedServer for a certificate that does not prove who it is, ServerUnavailable
        when nothing is ready in time, WrongProtocol, NotAuthorised, and UnmetPrecondition for a
        codec it cannot read or a server that requires TLS.
        """
        client = cls(address, image_codec, call_timeout_s, security, channel_options)
        try:
            client.wait_until_ready(timeout_s)
            check_codec(client.image_codec, client.info)
        except BaseException:
            client.close()
            raise
        return client

    def wait_until_ready(self, timeout_s: float) -> ServerInfo:
        """Try until the server is ready and shakes hands; also after it was restarted."""
        patience = Patience(self.address, timeout_s)
        while True:
            try:
                return self._handshake(patience.attempt_s())
            except patience.errors as error:
                time.sleep(patience.pause_s(error))

    def get_info(self, *, timeout_s: float | None = None) -> ServerInfo:
        """Ask the server what it serves, now."""
        reply = self._call(self._get_info, b"", timeout_s)
        self._info = check_info(reply, self.address)
        return self._info

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
        """Ask for the chunk that follows `observation`; seed None lets the server draw one.

        The request is checked before it is sent (InvalidRequest, UnmetPrecondition) and the chunk
        before it is returned (InvalidReply). Raises PolicyError for all that may go wrong.
        max_age_ms: how long the request may wait on the server; older it is not worth computing.
        """
        request = PolicyRequest(observation, seed, sequence, client_tag, prefix, max_age_ms)
        sealed = seal(request, self.info, self.image_codec)
        return self.exchange(sealed, timeout_s=timeout_s)

    def exchange(self, sealed: SealedRequest, *, timeout_s: float | None = None) -> ActionChunk:
        """Send a request that was made already, and check what comes back as `infer` does."""
        reply = self._call(self._infer, sealed.data, timeout_s)
        return read_chunk(reply, sealed, self.info.spec)

    def stream(self, *, reopen_within_s: float = 0.0) -> PolicyStream:
        """Open a stream, on which the newest observation supersedes those that still wait.

        reopen_within_s: how long a server that went away may take to come back (a restart, another
            replica): the stream is opened again then. What was sent in between is answered at once,
            by a ServerUnavailable of its own; 0 ends the stream instead
        """
        try:
            method = partial(self._infer_stream, metadata=self._metadata)
            reopening = Reopening(reopen_within_s, self._handshake) if reopen_within_s else None
            return PolicyStream(method, self.info, self.image_codec, self.address, reopening)
        except ValueError as error:
            raise self._closed_error(error) from None

    def close(self) -> None:
        """Close the connection; calls under way end with ServerUnavailable."""
        self._channel.close()

    def __enter__(self) -> "PolicyClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handshake(self, timeout_s: float) -> ServerInfo:
        try:
            health = self._check_health(HEALTH_REQUEST, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            # a server without a health service may still be one of ours: GetInfo will tell
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:  # type: ignore[attr-defined]
                raise self._explain(error, timeout_s) from None
        else:
            check_health(health, self.address)
        return self.get_info(timeout_s=timeout_s)

    def _explain(self, error: grpc.RpcError, timeout_s: float) -> PolicyError:
        """Return why the server was not reached; gRPC does not report TLS's reasons."""
        fault = None
        if error.code() is grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
            fault = find_tls_fault(self.address, self._security, timeout_s)
        return fault or typed_error(error, self.address)

    def _call(self, method: Callable[..., Any], data: bytes, timeout_s: float | None) -> Any:
        timeout_s = self.call_timeout_s if timeout_s is None else timeout_s
        try:
            return method(data, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise typed_error(error, self.address) from None
        except ValueError as error:
            raise self._closed_error(error) from None

    def _closed_error(self, error: ValueError) -> ServerUnavailable:
        # grpc raises ValueError on a channel that was closed
        return ServerUnavailable(f"the client of {self.address} was closed: {error}")
