"""Frozen dataclasses from JSON files, with errors that name the file and the key."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from handover_model.errors import CheckpointError

Settings = TypeVar("Settings")
MAX_JSON_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 32  # of lists and objects in one another; a checkpoint's files have 8
MAX_SIZE = 2**20  # of any whole number in config.json; the largest, a vocabulary, is 151,680


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; CheckpointError when it is missing or not an object."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; expected a checkpoint's {path.name}")
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"it is larger than {MAX_JSON_BYTES >> 20} MiB")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            kind = type(content).__name__
            raise CheckpointError(f"{path}: expected a JSON object, got a {kind}")
        _check_depth(content, MAX_DEPTH)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: also what is not UTF-8
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    return content


def read_settings(kind: type[Settings], values: Mapping[str, Any], place: str) -> Settings:
    """Fill a flat dataclass from JSON values; a missing key keeps the dataclass's default.

    Keys that the dataclass does not have are ignored. Raises CheckpointError naming `place` and
    the key when a value is of another type than the default.
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{place}: expected an object of settings, got {values!r}")
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
        if field.name not in values:
            continue
        value = values[field.name]
        default = None if field.default is dataclasses.MISSING else field.default
        if default is not None and not _fits(value, default):
            expected = type(default).__name__
            raise CheckpointError(f"{place}: {field.name} should be {expected}, got {value!r}")
        most = sys.float_info.max if isinstance(default, float) else MAX_SIZE
        if isinstance(value, int | float) and not 0 <= value <= most:  # NaN is neither
            raise CheckpointError(f"{place}: {field.name} is {value}, expected 0 to {most}")
        chosen[field.name] = type(default)(value) if isinstance(default, float) else value
    return kind(**chosen)


def _check_depth(content: object, left: int) -> None:
    """Raise ValueError for lists and objects nested deeper than MAX_DEPTH."""
    if not isinstance(content, dict | list):
        return
    inner = content.values() if isinstance(content, dict) else content
    if not left:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    for value in inner:
        _check_depth(value, left - 1)


def _fits(value: object, default: object) -> bool:
    """Return whether a JSON value has the type of a default; an int may stand for a float."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
