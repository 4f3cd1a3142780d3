"""Files that are there in full or not at all, whatever ends the process that writes them.

Each is written beside its place, forced to the disk, and renamed: a reader never sees half of one,
and neither a kill nor a power cut leaves half of one under the file's own name.
"""

import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from handover_common.errors import FileError

PARTIAL = ".partial"  # ends the name of what is being written
_PARTIAL_NAME = re.compile(rf"\.(.+)\.\d+-\d+\{PARTIAL}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write to the path that this yields: after the block it is at `path`, in place of a former.

    An error in the block leaves what was there before, and nothing else. The folders above are
    made. Raises FileError, which is an OSError, where the disk refuses.
    """
    make_folders_above(path)
    # two processes or threads may write the same file: each has a place of its own
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}", error) from error
    finally:
        with contextlib.suppress(OSError):  # moved already, or never made
            partial.unlink()


def final_name(name: str) -> str:
    """Return the name that a file under way is to have; any other file's own."""
    found = _PARTIAL_NAME.fullmatch(name)
    return found.group(1) if found else name


def make_folders_above(path: Path) -> None:
    """Make the folders that a file is to lie in. Raises FileError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot write {path}: {error.filename} is no folder and cannot become one "
            f"({error.strerror})",
            error,
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; see atomic_path."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; see atomic_path."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as indented JSON; NaN and infinity are refused, as JSON has none."""
    write_bytes(path, json_bytes(content))


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line."""
    write_bytes(path, json_lines_bytes(records))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """A JSON object, indented; the same bytes every time."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_lines_bytes(records: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object per line; the same bytes every time."""
    return b"".join(
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        for record in records
    )


def sync(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_within(folder: Path, name: object) -> Path | None:
    """Return a regular file by its name in a stranger's folder; None for what is none.

    A name that leads out of the folder, also by a link in it, is none.
    """
    if not isinstance(name, str):
        return None
    try:
        path = (folder / name).resolve()
        is_ours = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null character, links in a ring
        return None
    return path if is_ours else None


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file appear in a second place, at no cost where the file system has links.

    The folders above the target are made.
    """
    make_folders_above(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
