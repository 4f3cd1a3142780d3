"""Names for what a checkpoint holds: the same content has the same hash, wherever it lies."""

import contextlib
import hashlib
import json
from pathlib import Path

from handover_common import write_text

from handover_model.checkpoints.weights import weight_files
from handover_model.processing.processor_config import ProcessorConfig, processor_files

CHUNK_BYTES = 8 * 1024 * 1024
CACHED_BYTES = 64 * 1024 * 1024  # smaller files are quicker to read than to remember
HASH_CHARS = 16  # of the hexadecimal SHA-256


def weights_hash(folder: Path, cache: Path | None = None) -> str:
    """Hash the bytes of a checkpoint's weight files.

    cache: a folder in which hashes of unchanged files (same place, size and time of change) are
    kept, so that gigabytes are read once; None reads them.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        digest.update(f"{path.name} {_file_hash(path, cache)}\n".encode())
    return digest.hexdigest()[:HASH_CHARS]


def processor_hash(config: ProcessorConfig) -> str:
    """Hash what the processor is told, whatever order or spacing its files have."""
    content = json.dumps(processor_files(config), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:HASH_CHARS]


def _read_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _file_hash(path: Path, cache: Path | None) -> str:
    real = path.resolve()
    stat = real.stat()
    if cache is None or stat.st_size < CACHED_BYTES:
        return _read_hash(real)
    state = f"{real} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    kept = cache / hashlib.sha256(state.encode()).hexdigest()
    if kept.is_file():
        return kept.read_text(encoding="ascii")
    digest = _read_hash(real)
    with contextlib.suppress(OSError):  # a home that cannot be written to costs time alone
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, digest)
    return digest
