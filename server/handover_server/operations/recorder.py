"""Request recorder: every request and its outcome, written by a thread that nothing waits for."""

import contextlib
import logging
import secrets
import threading
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from pathlib import Path

from handover_proto import (
    PolicyOutput,
    Record,
    RecordedAnswer,
    RecordedRequest,
    RecordedServer,
    ServerInfo,
    encode_record,
)
from handover_proto.wire import encode_info

from handover_server.connections.peers import address_of
from handover_server.logs import fields
from handover_server.operations.segments import SegmentWriter
from handover_server.requests.observer import Observer
from handover_server.requests.outcome import CHUNK, Outcome, outcome_name
from handover_server.requests.request import PendingRequest

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 64 * 1024 * 1024
MOST_WAITING_BYTES = 128 * 1024 * 1024
LEAST_BYTES = 128 * 1024  # as which a smaller record counts: at most 1024 wait
LAST_S = 2.0  # for the thread to write what waits when the server stops
RETRY_S = 30.0  # after a disk error


@dataclass(frozen=True)
class _Waiting:
    record: Record
    size: int
    client: str


class Recorder(Observer):
    """Writes valid requests and their outcomes; a slow disk costs records, never requests.

    What waits for the disk is shared: a client may have as much in the queue as it leaves to the
    others. So is the disk (SegmentWriter). Without tokens, all connections of an address are one
    client here. After a disk error, which is one line in the log, it tries again every RETRY_S.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Raise ServingError for a folder that cannot be written."""
        self._writer = SegmentWriter(folder, max_bytes, SEGMENT_BYTES)
        self._folder = folder
        self._session = secrets.token_hex(8)
        self._server = b""  # what every segment begins with: what is served
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._bytes_of: Counter[str] = Counter()  # of these, each client's
        self._changed = threading.Condition()
        self._closing = self._stopped = self._failed = False
        self._written = self._written_bytes = self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def levels(self) -> dict[str, float]:
        """Current gauges: {name: value}."""
        return {"recording": float(not self._stopped), "record_waiting_bytes": self._waiting_bytes}

    def totals(self) -> dict[str, float]:
        """Records written and dropped so far: {name: count}."""
        return {
            "records_written": self._written,
            "record_bytes_written": self._written_bytes,
            "records_dropped": self._dropped,
        }

    def serving(self, info: ServerInfo) -> None:
        """Record what is served."""
        self._put(RecordedServer(self._session, encode_info(info).SerializeToString()), 0, "")

    def decoded(self, pending: PendingRequest, data: bytes) -> None:
        """Record a request: only a valid one may push out older ones."""
        name = pending.lane.client.name
        request = RecordedRequest(self._session, pending.arrival, time.time_ns(), name, data)
        pending.is_recorded = self._put(request, len(data), address_of(name))

    def settled(self, pending: PendingRequest, outcome: Outcome) -> None:
        """Record the chunk, or the error, of a recorded request."""
        if not pending.is_recorded:
            return
        if isinstance(outcome, PolicyOutput):
            answer = RecordedAnswer(
                *(self._session, pending.arrival, CHUNK, ""),
                seed=pending.seed,
                checkpoint_hash=pending.checkpoint_hash,
                action=outcome.action,
                durations=asdict(pending.durations(outcome)),
            )
        else:
            answer = RecordedAnswer(
                self._session, pending.arrival, outcome_name(outcome), str(outcome)
            )
        size = sum(values.nbytes for values in answer.action.values())
        self._put(answer, size, address_of(pending.lane.client.name))

    def close(self) -> None:
        """Write what waits, within the time that a disk may take for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(LAST_S)

    def _put(self, record: Record, size: int, client: str) -> bool:
        """Leave a record to the thread; returns False where it is dropped."""
        size = max(size, LEAST_BYTES)
        with self._changed:
            if self._stopped and isinstance(record, RecordedServer):
                self._server = encode_record(record)
            if self._stopped or not self._may_wait(record, size, client):
                self._dropped += 1
                return False
            self._waiting.append(_Waiting(record, size, client))
            self._count(size, client)
            self._changed.notify()
            return True

    def _may_wait(self, record: Record, size: int, client: str) -> bool:
        """Whether there is room; a client's request leaves as much of it as the client takes."""
        room = MOST_WAITING_BYTES - self._waiting_bytes - size
        if isinstance(record, RecordedRequest) and self._waiting_bytes:
            return self._bytes_of[client] + size <= room
        return room >= 0 or isinstance(record, RecordedServer)  # one at a reload

    def _count(self, size: int, client: str) -> None:
        self._waiting_bytes += size
        self._bytes_of[client] += size
        if not self._bytes_of[client]:
            del self._bytes_of[client]  # addresses are unlimited

    def _run(self) -> None:
        while not self._closing:
            try:
                while (item := self._take()) is not None:
                    self._write(item)
                    del item  # an idle recorder holds no image
                self._writer.close()
            except Exception as error:  # a disk error as a rule; in any case serving goes on
                self._stop(error)
                self._pause()

    def _take(self) -> "_Waiting | None":
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _pause(self) -> None:
        """Wait before another attempt; from then on records are taken again."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, RETRY_S)
            self._stopped = self._closing

    def _write(self, item: "_Waiting") -> None:
        frames = encode_record(item.record)
        if isinstance(item.record, RecordedServer):
            self._writer.close()  # the next records begin new segments, with this one
            self._server = frames
        else:
            self._writer.write(item.client, frames, self._server)
        with self._changed:
            self._count(-item.size, item.client)
        if isinstance(item.record, RecordedServer):
            return
        self._written += 1
        self._written_bytes += len(frames)
        if self._failed:
            self._failed = False
            logger.warning("recording goes on", extra=fields(dropped=self._dropped))

    def _stop(self, error: Exception) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()
        with self._changed:
            self._stopped = True
            self._dropped += len(self._waiting) + 1
            self._waiting.clear()
            self._waiting_bytes = 0
            self._bytes_of.clear()
        if self._failed:  # and told already
            return
        self._failed = True
        logger.error(
            "recording has stopped, serving goes on; next attempt in %g s: %s",
            RETRY_S,
            getattr(error, "strerror", None) or error,
            extra=fields(folder=str(self._folder), written=self._written),
        )
