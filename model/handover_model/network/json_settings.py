"""Frozen dataclasses from JSON files, with errors that name the file and the key."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from handover_model.errors import CheckpointError

Settings = TypeVar("Settings")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; CheckpointError when it is missing or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; expected a checkpoint's {path.name}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise CheckpointError(f"{path}: expected a JSON object, got a {kind}")
    return content


def read_settings(kind: type[Settings], values: Mapping[str, Any], place: str) -> Settings:
    """Fill a flat dataclass from JSON values; a missing key keeps the dataclass's default.

    Keys that the dataclass does not have are ignored. Raises CheckpointError naming `place` and
    the key when a value is of another type than the default.
    """
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
        if field.name not in values:
            continue
        value = values[field.name]
        default = None if field.default is dataclasses.MISSING else field.default
        if default is not None and not _fits(value, default):
            expected = type(default).__name__
            raise CheckpointError(f"{place}: {field.name} should be {expected}, got {value!r}")
        chosen[field.name] = type(default)(value) if isinstance(default, float) else value
    return kind(**chosen)


def _fits(value: object, default: object) -> bool:
    """Return whether a JSON value has the type of a default; an int may stand for a float."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
