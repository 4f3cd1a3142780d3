"""Base of both streams of observations: sending, answers, and opening again after a break."""

import abc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    UnmetPrecondition,
)

from handover_client.connection.readiness import Patience
from handover_client.connection.requests import SealedRequest, StreamAnswer, read_answer, seal
from handover_client.errors import InvalidReply

# of a policy's spec, what a robot on its stream relies on
_SAME = ("policy", "cameras", "state", "action", "horizon", "rate_hz", "embodiment_tag")


@dataclass(frozen=True)
class Reopening:
    """How a stream is opened again when its server goes away.

    within_s: from the moment at which the stream broke
    handshake: the client's; with asyncio it is awaited
    """

    within_s: float
    handshake: Callable[[float], Any]


class StreamBase(abc.ABC):
    """What PolicyStream and AsyncPolicyStream have in common: sending, and reading the answers."""

    _call: Any  # of gRPC, while the stream is open

    def __init__(
        self,
        info: ServerInfo,
        codec: ImageCodec,
        address: str,
        answers: Any,
        reopening: Reopening | None,
    ) -> None:
        """Set up; answers: a queue of StreamAnswer, and of None at the stream's end."""
        self._info, self._codec, self._address = info, codec, address
        self._answers = answers
        self._end: PolicyError | None = None
        self._reopening = reopening
        self._patience: Patience | None = None  # from a break until the next answer
        self._lock = threading.Lock()  # of the next two
        self._unanswered: dict[int, list[str]] = {}  # {sequence: tags} of what was sent
        self._away: PolicyError | None = None  # what broke the stream, until it is open again

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
        with self._lock:
            if self._away is not None:
                self._refuse(sealed.sequence, sealed.client_tag, self._lost(self._away))
                return
            self._unanswered.setdefault(sealed.sequence, []).append(sealed.client_tag)
            superseded = self._put(sealed)
        if superseded is not None:
            error = Superseded(f"a newer observation ({sequence}) took its place before it left")
            self._refuse(superseded.sequence, superseded.client_tag, error)

    @abc.abstractmethod
    def _put(self, request: SealedRequest) -> SealedRequest | None:
        """Leave a request to be sent; return the one whose place it took."""

    def _refuse(self, sequence: int, tag: str, error: PolicyError) -> None:
        self._is_due(sequence)
        self._answers.put_nowait(StreamAnswer(sequence, tag, None, error))

    def _take(self, reply: Any) -> None:
        """Read a reply; from then on the next break has all its time again.

        Raises InvalidReply, and ends the call, for a reply that no request waits for: a server
        could send them without end.
        """
        with self._lock:
            is_due = self._is_due(reply.sequence)
        if not is_due:
            self._call.cancel()
            due = "that of a request without an answer"
            raise InvalidReply("sequence", due, f"{reply.sequence}")
        self._patience = None
        self._answers.put_nowait(read_answer(reply, self._info.spec))

    def _is_due(self, sequence: int) -> bool:
        """Take one request off those that wait for an answer; returns whether one did."""
        tags = self._unanswered.get(sequence)
        if not tags:
            return False
        tags.pop(0)
        if not tags:
            del self._unanswered[sequence]
        return True

    def _break(self, end: PolicyError) -> Patience | None:
        """Give up what is unanswered; returns the time for opening again, None for never."""
        if self._reopening is None or not isinstance(end, ServerUnavailable):
            return None
        if self._patience is None:
            self._patience = Patience(self._address, self._reopening.within_s)
        with self._lock:
            self._away = end
            waiting = [(each, tag) for each, tags in self._unanswered.items() for tag in tags]
            for sequence, tag in waiting:
                self._refuse(sequence, tag, self._lost(end))
        return self._patience

    def _check_same(self, info: ServerInfo) -> None:
        """Raise UnmetPrecondition where another policy is served than when the stream was opened.

        Another checkpoint with the same inputs and outputs is as good: chunks name their weights.
        """
        then, now = self._info.spec, info.spec
        changed = [name for name in _SAME if getattr(then, name) != getattr(now, name)]
        if changed:
            raise UnmetPrecondition(
                f"the server at {self._address} came back with another policy, whose "
                f"{', '.join(changed)} differ: connect again"
            )

    def _lost(self, end: PolicyError) -> ServerUnavailable:
        return ServerUnavailable(f"the stream is being opened again: {end}")

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
