"""Locations of a dataset's files: patterns of info.json, and regular files of its folder alone.

A dataset comes from anybody. A pattern knows its documented fields and nothing else, a name never
leads out of the folder, and what is opened is a regular file: no FIFO, no device, no link to
elsewhere but the blobs of a Hub cache, in which every file of a dataset is a link.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from handover_conversion.errors import DatasetError

LARGEST_NUMBER = 1_000_000_000  # of an episode, a chunk or a file
_INTEGER_FORMAT = re.compile(r"0?\d?d?")  # as the layouts have it: {episode_index:06d}
_LONGEST_NAME = 4096
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024  # at most, by Git LFS's own specification


def fill_pattern(pattern: object, fields: Mapping[str, int | str]) -> str:
    """Fill numbers and names into a pattern like "data/chunk-{episode_chunk:03d}/…".

    Raises ValueError for a field that is not among `fields`, attributes, conversions, formats
    other than a number's width, and results that lead out of the dataset's folder.
    """
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_NAME:
        raise ValueError(f"expected a file's pattern, got {str(pattern)[:60]!r}")
    filled = ""
    for text, name, how, conversion in Formatter().parse(pattern):
        filled += text
        if name is None:
            continue
        value = fields.get(name)
        if value is None or conversion:
            raise ValueError(f"{{{name[:60]}}} is no field, expected {', '.join(fields)}")
        if isinstance(value, int):
            if not _INTEGER_FORMAT.fullmatch(how or "") or not 0 <= value <= LARGEST_NUMBER:
                raise ValueError(f"{{{name}:{(how or '')[:20]}}} cannot be filled with {value}")
        elif how:
            raise ValueError(f"{{{name}:{how[:20]}}} is a name, expected no format")
        filled += format(value, how or "")
    return inner_name(filled)


def inner_name(name: str) -> str:
    """Return the name of a file inside a folder. Raises ValueError if it leads out of it."""
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise ValueError(f"{name[:80]!r} is not the name of a file inside the dataset's folder")
    return name


def regular_file(root: Path, name: str | Path) -> Path:
    """Return the path of a dataset's file, which is a regular one inside its folder.

    Raises DatasetError for a file that is missing, none, elsewhere, or a Git LFS pointer.
    """
    path = root / name
    try:
        found = path.resolve(strict=True)
        status = found.stat()
    except FileNotFoundError:
        raise DatasetError(f"{path}: the file is missing") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise DatasetError(f"{path} cannot be opened: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError(f"{path} is not a regular file")
    if leads_out(root, found):
        raise DatasetError(f"{path} is a link out of the dataset's folder, which is not followed")
    if status.st_size <= _POINTER_BYTES and is_lfs_pointer(found):
        raise DatasetError(
            f"{path} is a Git LFS pointer, not the file itself: run git lfs pull in the repository"
        )
    return path


def leads_out(root: Path, path: Path) -> bool:
    """Whether a path is a link out of the dataset's folder that is not a Hub cache's."""
    found = path.resolve()
    return not found.is_relative_to(root.resolve()) and not _is_blob(found)


def is_lfs_pointer(path: Path) -> bool:
    """Whether a regular file is the stand-in that a clone without Git LFS has."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _is_blob(path: Path) -> bool:
    return path.parent.name == "blobs" and bool(_BLOB.fullmatch(path.name))
