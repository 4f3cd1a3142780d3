"""Log lines: one per event, with its figures as fields, as text or as JSON."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning"]

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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("handover_server").setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """2026-01-31T12:00:00.123Z INFO what happened field=value; a traceback follows on new lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        values = "".join(f" {name}={_short(value)}" for name, value in _of(record).items())
        line = f"{_time(record)} {record.levelname} {record.getMessage()}{values}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(logging.Formatter):
    """{"time": …, "level": …, "event": …, fields …}, always a single line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_of(record),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


def _of(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, _FIELDS, {})


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value}"
