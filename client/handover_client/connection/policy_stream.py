"""Stream of observations to a policy server, for ordinary (blocking) code."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from handover_proto import ImageCodec, PolicyError, ServerInfo, ServerUnavailable

from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.readiness import Patience
from handover_client.connection.requests import SealedRequest, StreamAnswer
from handover_client.connection.stream_base import Reopening, StreamBase


class Outbox:
    """Outbox for one request: a newer one takes the place of one that still waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: SealedRequest | None = None
        self._closed = False

    def put(self, request: SealedRequest) -> SealedRequest | None:
        """Leave a request to be sent; return the one whose place it took."""
        with self._changed:
            superseded, self._waiting = self._waiting, request
            self._changed.notify()
        return superseded

    def close(self) -> None:
        """End the iteration."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed:
                    return
                request, self._waiting = self._waiting, None
            assert request is not None
            yield request.data


class PolicyStream(StreamBase):
    """Observations out, answers back, in their own time; a context manager.

    Sending never blocks. An observation that has not left yet, or that still waits on the server,
    is superseded by the next: its answer's error is Superseded. Made by `PolicyClient.stream`.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        info: ServerInfo,
        codec: ImageCodec,
        address: str,
        reopening: Reopening | None = None,
    ) -> None:
        super().__init__(info, codec, address, queue.SimpleQueue(), reopening)
        self._method = method
        self._closed = threading.Event()
        self._open()
        self._reader = threading.Thread(target=self._read, name="policy-stream", daemon=True)
        self._reader.start()

    def receive(self, *, timeout_s: float) -> StreamAnswer:
        """Wait for the next answer; raises DeadlinePassed, or what ended the stream."""
        try:
            answer = self._answers.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            raise self._too_late(timeout_s) from None
        return self._received(answer)

    def close(self) -> None:
        """End the stream; what still waits is given up."""
        self._closed.set()
        self._outbox.close()
        self._call.cancel()
        self._reader.join()

    def __enter__(self) -> "PolicyStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        with self._lock:
            self._outbox = Outbox()
            self._call = self._method(iter(self._outbox))
            self._away = None
        if self._closed.is_set():
            self._call.cancel()

    def _put(self, request: SealedRequest) -> SealedRequest | None:
        return self._outbox.put(request)

    def _read(self) -> None:
        end = PolicyError("the stream's reader failed")
        try:
            while True:
                end = self._read_call()
                patience = None if self._closed.is_set() else self._break(end)
                if patience is None or not self._reopen(patience):
                    return
        except PolicyError as error:
            end = error
        finally:
            self._end = end
            self._outbox.close()
            self._answers.put(None)

    def _read_call(self) -> PolicyError:
        """Read answers until the call ends; returns why."""
        try:
            for reply in self._call:
                self._take(reply)
        except grpc.RpcError as error:
            return typed_error(error, self._address)
        finally:
            self._outbox.close()  # gRPC's sending thread waits there
        return ServerUnavailable(f"the server at {self._address} ended the stream")

    def _reopen(self, patience: Patience) -> bool:
        """Wait for the server and open again; returns False where the stream is closed first."""
        assert self._reopening is not None
        while True:
            try:
                info = self._reopening.handshake(patience.attempt_s())
            except patience.errors as error:
                if self._closed.wait(patience.pause_s(error)):
                    return False
            except ValueError:  # what grpc raises on a channel that was closed
                return False
            else:
                self._check_same(info)
                self._open()
                return True
