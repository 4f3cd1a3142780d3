"""Stream of observations to a policy server, for ordinary (blocking) code."""

import abc
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from handover_proto import (
    ActionPrefix,
    DeadlinePassed,
    ImageCodec,
    Observation,
    PolicyError,
    PolicyRequest,
    ServerInfo,
    ServerUnavailable,
    Superseded,
)
from handover_proto import policy_pb2 as pb

from handover_client.connection.grpc_errors import typed_error
from handover_client.connection.requests import SealedRequest, StreamAnswer, read_answer, seal
from handover_client.errors import InvalidReply


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


class StreamBase(abc.ABC):
    """What PolicyStream and AsyncPolicyStream have in common: sending, and reading the answers."""

    def __init__(self, info: ServerInfo, codec: ImageCodec, address: str, answers: Any) -> None:
        """Set up; answers: a queue of StreamAnswer, and of None at the stream's end."""
        self._info, self._codec, self._address = info, codec, address
        self._answers = answers
        self._unanswered: Counter[int] = Counter()  # sequences; a second of one is possible
        self._end: PolicyError | None = None

    def send(
        self,
        observation: Observation,
        *,
        sequence: int,
        seed: int | None = None,
        client_tag: str = "",
        prefix: ActionPrefix | None = None,
        max_age_ms: int | None = None,
    ) -> None:
        """Send an observation, without waiting; `sequence` names its answer and grows.

        max_age_ms: how long it may wait on the server: a stream has no deadline for each request
        Raises InvalidRequest or UnmetPrecondition before anything is sent, and ServerUnavailable
        (or what else ended the stream) once it has ended.
        """
        request = PolicyRequest(observation, seed, sequence, client_tag, prefix, max_age_ms)
        sealed = seal(request, self._info, self._codec)
        self._check_open()
        self._unanswered[sequence] += 1
        superseded = self._put(sealed)
        if superseded is not None:
            self._count(superseded.sequence)
            error = Superseded(f"a newer observation ({sequence}) took its place before it left")
            answer = StreamAnswer(superseded.sequence, superseded.client_tag, None, error)
            self._answers.put_nowait(answer)

    @abc.abstractmethod
    def _put(self, request: SealedRequest) -> SealedRequest | None:
        """Leave a request to be sent; return the one whose place it took."""

    def _read_answer(self, reply: pb.InferReply) -> StreamAnswer:
        """Read a reply; raises InvalidReply for one that nothing was sent for."""
        if not self._count(reply.sequence):
            raise InvalidReply(
                "sequence", "that of a request without an answer", f"{reply.sequence}"
            )
        return read_answer(reply, self._info.spec)

    def _count(self, sequence: int) -> bool:
        """Note an answer; returns whether one was due."""
        if not self._unanswered[sequence]:
            del self._unanswered[sequence]
            return False
        self._unanswered[sequence] -= 1
        if not self._unanswered[sequence]:
            del self._unanswered[sequence]
        return True

    def _received(self, answer: StreamAnswer | None) -> StreamAnswer:
        if answer is None:
            self._answers.put_nowait(None)  # for the next call
            self._check_open()
        assert answer is not None
        return answer

    def _too_late(self, timeout_s: float) -> DeadlinePassed:
        return DeadlinePassed(
            f"no answer from {self._address} on the stream within {timeout_s:g} s"
        )

    def _check_open(self) -> None:
        if self._end is not None:
            raise self._end.with_traceback(None)  # a traceback grows each time, and holds frames


class PolicyStream(StreamBase):
    """Observations out, answers back, in their own time; a context manager.

    Sending never blocks. An observation that has not left yet, or that still waits on the server,
    is superseded by the next: its answer's error is Superseded. Made by `PolicyClient.stream`.
    """

    def __init__(
        self, method: Callable[..., Any], info: ServerInfo, codec: ImageCodec, address: str
    ) -> None:
        super().__init__(info, codec, address, queue.SimpleQueue())
        self._outbox = Outbox()
        self._call = method(iter(self._outbox))
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
        self._outbox.close()
        self._call.cancel()
        self._reader.join()

    def __enter__(self) -> "PolicyStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, request: SealedRequest) -> SealedRequest | None:
        return self._outbox.put(request)

    def _read(self) -> None:
        end: PolicyError = ServerUnavailable(f"the server at {self._address} ended the stream")
        try:
            for reply in self._call:
                self._answers.put(self._read_answer(reply))
        except grpc.RpcError as error:
            end = typed_error(error, self._address)
        except InvalidReply as error:
            self._call.cancel()
            end = error
        finally:
            self._end = end
            self._outbox.close()  # gRPC's sending thread waits there
            self._answers.put(None)
