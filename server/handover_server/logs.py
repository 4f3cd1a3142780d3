"""Log lines: one per event, with its figures as fields, as text or as JSON.

A thread writes them: a reader that stops (a pager, a full disk behind a pipe) costs lines, which
are counted, and never a request.

Text of strangers (names, keys, an error's words) cannot write lines of its own nor command the
terminal that shows the log: control characters become their escapes, line feeds too.
"""

import contextlib
import json
import logging
import os
import queue
import sys
import textwrap
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal, TextIO

from handover_common import printable

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning"]

MOST_WAITING = 1000  # lines
LAST_S = 1.0  # for the lines that wait when the process ends
_FIELDS = "handover_fields"  # the attribute of a log record that holds an event's fields


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """Return the fields of a log call: logger.info("…", extra=fields(queue_ms=1.2)).

    Never an image, a task's text, a client's tag or a token.
    """
    return {_FIELDS: values}


def configure_logging(form: LogFormat, level: LogLevel) -> None:
    """Log to stderr from now on, in the given format and level."""
    # gRPC's own lines, one for each failed handshake, do not have this format; port scanners
    # would fill the log with them. Must be set before grpc is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    handler = BackgroundHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("handover_server").setLevel(level.upper())


class BackgroundHandler(logging.Handler):
    """Writes lines in a thread of its own, and drops those that are too many for the reader."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a line to the thread; a formatted line holds no traceback, and so no request."""
        try:
            if self._dropped and not self._lines.full():
                dropped, self._dropped = self._dropped, 0
                self._lines.put_nowait(self._loss(dropped))
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._dropped += 1
        except Exception:
            self.handleError(record)
        finally:
            record.exc_info = None

    def flush(self) -> None:
        """Wait until all lines are written, as long as a reader may take for that."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, LAST_S)

    def _loss(self, lines: int) -> str:
        values = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        text = "log lines were lost: the reader of stderr is too slow"
        return self.format(logging.makeLogRecord({**values, "msg": text, **fields(lines=lines)}))

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            with contextlib.suppress(OSError, ValueError):  # nobody reads, or it is closed
                self._stream.write(f"{line}\n")
                self._stream.flush()
            self._lines.task_done()


class TextFormatter(logging.Formatter):
    """2026-01-31T12:00:00.123Z INFO what happened field=value; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        values = "".join(f" {name}={_short(value)}" for name, value in _of(record).items())
        line = f"{_time(record)} {record.levelname} {_on_a_line(record.getMessage() + values)}"
        if record.exc_info:
            trace = printable(self.formatException(record.exc_info))
            line = f"{line}\n{textwrap.indent(trace, '  ', lambda _: True)}"
        return line


class JsonFormatter(logging.Formatter):
    """{"time": …, "level": …, "event": …, fields …}, always a single line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": printable(record.getMessage()),
            **{name: _harmless(value) for name, value in _of(record).items()},
        }
        if record.exc_info:
            event["traceback"] = printable(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


def _of(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, _FIELDS, {})


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _on_a_line(text: str) -> str:
    return printable(text).replace("\n", r"\n")


def _harmless(value: object) -> object:
    """Return a number as it is, and anything else as printable text."""
    return value if isinstance(value, bool | int | float | None) else printable(f"{value}")


def _short(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value}"
