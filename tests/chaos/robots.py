"""Robots that ask again and again while something goes wrong."""

import threading
import time

import numpy as np
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.policy_stream import PolicyStream
from handover_proto.embodiment import aloha_state_groups
from handover_proto.errors import DeadlinePassed, PolicyError
from handover_proto.types import ImageCodec, Observation

from .ledger import ANSWERED, Ledger, outcome_of

CONNECT_S = 120.0


def observation() -> Observation:
    """A 256x256 frame with some structure, and a pose."""
    rows, columns = np.mgrid[0:256, 0:256]
    frame = np.stack([rows, columns, (rows ^ columns)], axis=-1).astype(np.uint8)
    joints = np.linspace(-1, 1, 14, dtype=np.float32)
    return Observation({"ego_view": [frame]}, aloha_state_groups(joints), "transfer the cube")


class Robots:
    """Some robots that call and some that stream, each in a thread, until the block is left.

    A request's caller waits `deadline_s` for it; after an error it pauses and goes on.
    """

    def __init__(
        self,
        address: str,
        ledger: Ledger,
        callers: int = 2,
        streamers: int = 1,
        deadline_s: float = 60.0,
        period_s: float = 0.03,
        image_codec: ImageCodec = ImageCodec.RAW_RGB8,
    ) -> None:
        self._ledger, self._deadline_s, self._period_s = ledger, deadline_s, period_s
        self._client = PolicyClient.connect(address, timeout_s=CONNECT_S, image_codec=image_codec)
        self._sight = observation()
        self._stop = threading.Event()
        self._exchanges = 0  # that streams have finished
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]
        self._threads += [threading.Thread(target=self._stream) for _ in range(streamers)]

    def __enter__(self) -> "Robots":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def ask(self, tag: str = "", deadline_s: float | None = None) -> str:
        """Ask once in the caller's thread; returns the outcome."""
        deadline_s = deadline_s or self._deadline_s
        sequence = self._ledger.send(deadline_s)
        try:
            self._client.infer(
                self._sight, sequence=sequence, seed=1, client_tag=tag, timeout_s=deadline_s
            )
        except PolicyError as error:
            outcome = outcome_of(error)
        else:
            outcome = ANSWERED
        self._ledger.tell(sequence, outcome)
        return outcome

    def wait_for_a_stream(self) -> None:
        """Wait until a stream has got its next answers: it is open from then on."""
        before, until_s = self._exchanges, time.monotonic() + CONNECT_S
        while self._exchanges == before:
            assert time.monotonic() < until_s, "no stream is answered"
            time.sleep(0.001)

    def _call(self) -> None:
        while not self._stop.is_set():
            failed = self.ask() != ANSWERED
            self._stop.wait(self._period_s * (3 if failed else 1))

    def _stream(self) -> None:
        while not self._stop.is_set():
            with self._client.stream() as stream:
                while not self._stop.is_set() and self._send_two(stream):
                    self._stop.wait(self._period_s)
            self._stop.wait(self._period_s)

    def _send_two(self, stream: PolicyStream) -> bool:
        """Send two observations at once, of which the newer counts; False when the stream broke."""
        waiting: set[int] = set()
        until = time.monotonic() + self._deadline_s
        try:
            for _ in range(2):
                waiting.add(sequence := self._ledger.send(self._deadline_s))
                stream.send(self._sight, sequence=sequence, seed=1)
            while waiting:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise DeadlinePassed("no answer on the stream")
                answer = stream.receive(timeout_s=left_s)
                self._ledger.tell(answer.sequence, outcome_of(answer.error))
                waiting.discard(answer.sequence)
        except PolicyError as error:
            for sequence in waiting:
                self._ledger.tell(sequence, outcome_of(error), by_server=False)
            return False
        self._exchanges += 1
        return True
