"""Folders of results: written beside their place and moved there when they are whole."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handover_client.errors import EvaluationError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to, that becomes `path` when the block ends well, else vanishes.

    Raises EvaluationError when `path` exists, or nothing can be written there.
    """
    if path.exists():
        raise EvaluationError(f"{path} exists already: choose another --output, or remove it")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise EvaluationError(f"cannot write to {path.parent}: {error.strerror}") from error
    try:
        yield partial
        partial.rename(path)
    except OSError as error:
        raise EvaluationError(f"writing {path} failed: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_file(path: Path, text: str) -> None:
    """Write a text file so that it is there as a whole or not at all."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise EvaluationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as indented JSON; NaN and infinity are refused, as JSON has none."""
    write_file(path, json.dumps(figures, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line."""
    lines = (json.dumps(record, allow_nan=False, ensure_ascii=False) for record in records)
    write_file(path, "".join(f"{line}\n" for line in lines))
