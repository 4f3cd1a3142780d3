"""Policy client for asyncio: a robot's connection to a policy server."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
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

from handover_client.connection.async_stream import AsyncPolicyStream
from handover_client.connection.channel import ChannelOptions, ClientBase
from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.readiness import (
    HEALTH_REQUEST,
    Patience,
    check_health,
    check_info,
)
from handover_client.connection.requests import check_codec, read_chunk, seal
from handover_client.connection.security import UNPROTECTED, ChannelSecurity
from handover_client.connection.stream_base import Reopening
from handover_client.connection.tls_diagnosis import find_tls_fault


class AsyncPolicyClient(ClientBase):
    """PolicyClient for asyncio: the same arguments, checks, deadlines and errors, awaited.

    Made by `connect`, inside the event loop that will use it; an async context manager.
    """

    _grpc = grpc.aio
    _is_closed = False

    @classmethod
    async def connect(
        cls,
        address: str,
        *,
        timeout_s: float = 60.0,
        call_timeout_s: float = 10.0,
        image_codec: ImageCodec | str = ImageCodec.RAW_RGB8,
        security: ChannelSecurity = UNPROTECTED,
        channel_options: ChannelOptions = (),
    ) -> "AsyncPolicyClient":
        """Wait until the server at HOST:PORT is ready; as PolicyClient.connect."""
        client = cls(address, image_codec, call_timeout_s, security, channel_options)
        try:
            await client.wait_until_ready(timeout_s)
            check_codec(client.image_codec, client.info)
        except BaseException:
            await client.close()
            raise
        return client

    async def wait_until_ready(self, timeout_s: float) -> ServerInfo:
        """Try until the server is ready and shakes hands; also after it was restarted."""
        patience = Patience(self.address, timeout_s)
        while True:
            try:
                return await self._handshake(patience.attempt_s())
            except patience.errors as error:
                await asyncio.sleep(patience.pause_s(error))

    async def get_info(self, *, timeout_s: float | None = None) -> ServerInfo:
        """Ask the server what it serves, now."""
        reply = await self._call(self._get_info, b"", timeout_s)
        self._info = check_info(reply, self.address)
        return self._info

    async def infer(
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
        """Ask for the chunk that follows `observation`; as PolicyClient.infer."""
        request = PolicyRequest(observation, seed, sequence, client_tag, prefix, max_age_ms)
        sealed = seal(request, self.info, self.image_codec)
        reply = await self._call(self._infer, sealed.data, timeout_s)
        return read_chunk(reply, sealed, self.info.spec)

    def stream(self, *, reopen_within_s: float = 0.0) -> AsyncPolicyStream:
        """Open a stream, on which the newest observation supersedes those that still wait.

        reopen_within_s: as of PolicyClient.stream
        """
        self._check_open()
        method = partial(self._infer_stream, metadata=self._metadata)
        reopening = Reopening(reopen_within_s, self._handshake) if reopen_within_s else None
        return AsyncPolicyStream(method, self.info, self.image_codec, self.address, reopening)

    async def close(self) -> None:
        """Close the connection; calls under way end with ServerUnavailable."""
        self._is_closed = True
        await self._channel.close()

    async def __aenter__(self) -> "AsyncPolicyClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _handshake(self, timeout_s: float) -> ServerInfo:
        try:
            health = await self._check_health(
                HEALTH_REQUEST, timeout=timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as error:
            # a server without a health service may still be one of ours: GetInfo will tell
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:  # type: ignore[attr-defined]
                raise await self._explain(error, timeout_s) from None
        else:
            check_health(health, self.address)
        return await self.get_info(timeout_s=timeout_s)

    async def _explain(self, error: grpc.RpcError, timeout_s: float) -> PolicyError:
        """Return why the server was not reached; gRPC does not report TLS's reasons."""
        fault = None
        if error.code() is grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
            fault = await asyncio.to_thread(find_tls_fault, self.address, self._security, timeout_s)
        return fault or typed_error(error, self.address)

    async def _call(self, method: Callable[..., Any], data: bytes, timeout_s: float | None) -> Any:
        self._check_open()
        timeout_s = self.call_timeout_s if timeout_s is None else timeout_s
        try:
            return await method(data, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise typed_error(error, self.address) from None
        except asyncio.CancelledError:  # also what grpc.aio raises when the channel is closed
            self._check_open()
            raise

    def _check_open(self) -> None:
        if self._is_closed:
            raise ServerUnavailable(f"the client of {self.address} was closed")
