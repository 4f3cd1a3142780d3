"""Reading of a dataset's small files: JSON and JSON lines."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_conversion.errors import DatasetError, Fault

_LFS_SIGN = b"version https://git-lfs"


def read_json(root: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of the dataset at `root`. Raises DatasetError naming the file."""
    try:
        content = json.loads((root / name).read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{root} has no {name}: expected a dataset's folder") from None
    except NotADirectoryError:
        raise DatasetError(f"{root} is a file, expected a dataset's folder") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{root / name} is not readable JSON: {error}") from None
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
    try:
        lines = (root / name).read_bytes().splitlines()
    except OSError as error:
        raise DatasetError(f"{root / name} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            faults.append(Fault(name, f"line {number} is not JSON: {error}"))
            continue
        problem = _problem(record, required)
        if problem:
            faults.append(Fault(name, f"line {number} {problem}", _episode_of(record)))
        else:
            records.append(record)
    return records, faults


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is not fetched yet: the few lines by which Git LFS names it."""
    with path.open("rb") as file:
        return file.read(len(_LFS_SIGN)) == _LFS_SIGN


def _problem(record: object, required: Mapping[str, type]) -> str | None:
    if not isinstance(record, dict):
        return f"is a {type(record).__name__}, expected a JSON object"
    for field, kind in required.items():
        if field not in record:
            return f"has no {field!r}"
        if not isinstance(record[field], kind) or isinstance(record[field], bool):
            return f"has {field!r} = {record[field]!r}, expected {kind.__name__}"
    return None


def _episode_of(record: object) -> int | None:
    index = record.get("episode_index") if isinstance(record, dict) else None
    return index if isinstance(index, int) else None
