"""Reading of a dataset's small files: JSON and JSON lines, of bounded size and depth."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault
from handover_conversion.locations import regular_file

_LARGEST_JSON = 1 << 28  # bytes: statistics of a million columns
_LARGEST_LINES = 1 << 30
_LARGEST_INTEGER = 1 << 53  # beyond, JSON numbers are not exact everywhere


def read_json(root: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of the dataset at `root`. Raises DatasetError naming the file."""
    content = _parse(_content(root, name, _LARGEST_JSON), f"{root / name} is not readable JSON")
    if not isinstance(content, dict):
        raise DatasetError(f"{root / name}: expected a JSON object, got {type(content).__name__}")
    return content


def read_json_lines(
    root: Path, name: str, required: Mapping[str, type]
) -> tuple[list[dict[str, Any]], list[Fault]]:
    """Read one JSON object per line, each with the required fields.

    A bad line is a fault, and reading continues. Raises DatasetError when the file cannot be read
    at all.
    """
    records, faults = [], []
    lines = _content(root, name, _LARGEST_LINES).removeprefix(b"\xef\xbb\xbf").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parse(line, f"line {number} is not JSON")
        except DatasetError as error:
            faults.append(Fault(name, str(error)))
            continue
        problem = _problem(record, required)
        if problem:
            faults.append(Fault(name, f"line {number} {problem}", _episode_of(record)))
        else:
            records.append(record)
    return records, faults


def _content(root: Path, name: str, largest: int) -> bytes:
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}, expected a dataset's folder")
    if not os.path.lexists(root / name):
        raise DatasetError(f"{root} has no {name}: expected a dataset's folder")
    path = regular_file(root, name)
    try:
        size = path.stat().st_size
        if size > largest:
            raise DatasetError(f"{path} has {size} bytes, expected at most {largest}")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None


def _parse(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise DatasetError(f"{what}: it is nested too deeply") from None
    except ValueError as error:
        raise DatasetError(f"{what}: {error}") from None


def _problem(record: object, required: Mapping[str, type]) -> str | None:
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}, expected a JSON object"
    for field, kind in required.items():
        if field not in record:
            return f"has no {field!r}"
        value = record[field]
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"has {field!r} = {str(value)[:80]!r}, expected {kind.__name__}"
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            return f"has {field!r} = {str(value)[:20]}…, expected a smaller number"
    return None


def _episode_of(record: object) -> int | None:
    index = record.get("episode_index") if isinstance(record, dict) else None
    return index if isinstance(index, int) and abs(index) <= _LARGEST_INTEGER else None
