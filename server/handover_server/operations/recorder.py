"""Request recorder: every request and its outcome, written by a thread that nothing waits for."""

import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from dataclasses import asdict
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

from handover_server.logs import fields
from handover_server.operations.segments import SegmentWriter
from handover_server.requests.observer import Observer
from handover_server.requests.outcome import CHUNK, Outcome, outcome_name
from handover_server.requests.request import PendingRequest

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 64 * 1024 * 1024
_LEAST_SEGMENTS = 4  # so that deleting the oldest keeps most of a small recording
MOST_WAITING = 1024
MOST_WAITING_BYTES = 128 * 1024 * 1024
LAST_S = 5.0  # for the thread to write what waits when the server stops


class Recorder(Observer):
    """Writes all events into a folder; a disk that is too slow costs records, never requests.

    The first disk error ends the recording, with one line in the log; serving goes on.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Raise ServingError for a folder that cannot be written."""
        segment_bytes = min(SEGMENT_BYTES, max_bytes // _LEAST_SEGMENTS)
        self._writer = SegmentWriter(folder, max_bytes, segment_bytes)
        self._folder = folder
        self._session = secrets.token_hex(8)
        self._server: RecordedServer | None = None
        self._waiting: deque[tuple[Record, int]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = self._stopped = False
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
        self._put(RecordedServer(self._session, encode_info(info).SerializeToString()), 0)

    def admitted(self, pending: PendingRequest, data: bytes) -> None:
        """Record a request."""
        client = pending.lane.client.name
        request = RecordedRequest(self._session, pending.arrival, time.time_ns(), client, data)
        self._put(request, len(data))

    def settled(self, pending: PendingRequest, outcome: Outcome) -> None:
        """Record its chunk, or its error."""
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
        self._put(answer, sum(values.nbytes for values in answer.action.values()))

    def close(self) -> None:
        """Write what waits, within the time that a disk may take for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(LAST_S)

    def _put(self, record: Record, size: int) -> None:
        with self._changed:
            full = self._waiting_bytes + size > MOST_WAITING_BYTES
            if self._stopped or full or len(self._waiting) >= MOST_WAITING:
                self._dropped += 1
                return
            self._waiting.append((record, size))
            self._waiting_bytes += size
            self._changed.notify()

    def _run(self) -> None:
        try:
            while (item := self._take()) is not None:
                self._write(*item)
                del item  # an idle recorder holds no image
            self._writer.close()
        except Exception as error:  # a disk error as a rule; in any case serving goes on
            self._stop(error)

    def _take(self) -> tuple[Record, int] | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _write(self, record: Record, size: int) -> None:
        if isinstance(record, RecordedServer):
            self._server = record
        if self._writer.is_full:
            known = self._server if self._server is not record else None
            self._writer.begin(encode_record(known) if known else b"")
        frames = encode_record(record)
        self._writer.write(frames)
        with self._changed:
            self._waiting_bytes -= size
        self._written += 1
        self._written_bytes += len(frames)

    def _stop(self, error: Exception) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()
        with self._changed:
            self._stopped = True
            self._dropped += len(self._waiting) + 1
            self._waiting.clear()
            self._waiting_bytes = 0
        logger.error(
            "recording has stopped, serving goes on: %s",
            getattr(error, "strerror", None) or error,
            extra=fields(folder=str(self._folder), written=self._written),
        )
