"""Hashes of a checkpoint's content; they do not depend on its location."""

import contextlib
import hashlib
import json
from pathlib import Path

from handover_common import write_text

from handover_model.checkpoints.weight_file import hash_files
from handover_model.checkpoints.weights import weight_files

CHUNK_BYTES = 8 * 1024 * 1024
CACHED_BYTES = 64 * 1024 * 1024  # smaller files are faster to read than to look up
HASH_CHARS = 16  # of the hexadecimal SHA-256


def weights_hash(folder: Path, cache: Path | None = None) -> str:
    """Hash the bytes of a checkpoint's weight files.

    cache: a folder that keeps hashes of unchanged files (same path, size and time of change), so
    that gigabytes are read once; None always reads them.
    """
    digests = {path.name: _file_hash(path, cache) for path in weight_files(folder)}
    return hash_files(digests)[:HASH_CHARS]


def settings_hash(*settings: object) -> str:
    """Hash settings as JSON, independently of order and spacing in the files they are from."""
    content = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:HASH_CHARS]


def read_hash(path: Path) -> str:
    """Hash a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _file_hash(path: Path, cache: Path | None) -> str:
    real = path.resolve()
    stat = real.stat()
    if cache is None or stat.st_size < CACHED_BYTES:
        return read_hash(real)
    state = f"{real} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    kept = cache / hashlib.sha256(state.encode()).hexdigest()
    if kept.is_file():
        return kept.read_text(encoding="ascii")
    digest = read_hash(real)
    with contextlib.suppress(OSError):  # a home that cannot be written to only costs time
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, digest)
    return digest
