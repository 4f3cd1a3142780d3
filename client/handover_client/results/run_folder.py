"""Files of a run's results: metrics.json, read back; every file is written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from handover_client.errors import EvaluationError


def read_run(place: Path) -> dict[str, Any]:
    """Read a run's figures: of its folder, or of a file in the form of its metrics.json.

    Raises EvaluationError where there are none.
    """
    path = place if place.is_file() else place / "metrics.json"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(
            f"{place} has no metrics.json: expected the --output folder of an evaluation"
        ) from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    if not isinstance(figures, dict) or not isinstance(figures.get("kind"), str):
        raise EvaluationError(f"{path} is not an evaluation's: it has no 'kind'")
    return figures


def make_folders_above(path: Path) -> None:
    """Make the folders that a file is to lie in; raises EvaluationError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(
            f"cannot write {path}: {error.filename} is no folder and cannot become one "
            f"({error.strerror})"
        ) from error


def write_file(path: Path, text: str) -> None:
    """Write a text file, and the folders above it; it is there as a whole or not at all."""
    make_folders_above(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):  # not there, or no folder to be in
            partial.unlink()


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as indented JSON; NaN and infinity are refused, as JSON has none."""
    write_file(path, json.dumps(figures, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line."""
    lines = (json.dumps(record, allow_nan=False, ensure_ascii=False) for record in records)
    write_file(path, "".join(f"{line}\n" for line in lines))
