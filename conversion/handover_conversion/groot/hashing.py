"""SHA-256 of a dataset's files: identifies what a conversion read, and what it made."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from handover_common.parallel import Executor

_BLOCK_BYTES = 1 << 20


def hash_files(root: Path, paths: Iterable[Path], executor: Executor) -> str:
    """Hash the names and contents of a dataset's files: SHA-256, in hex.

    A missing file counts as missing, so that its later appearance is a change.
    """
    files = sorted(set(paths))
    digests = {o.task: o.unwrap() for o in executor.map_unordered(file_digest, files)}
    return combine_digests({path.relative_to(root).as_posix(): digests[path] for path in files})


def combine_digests(digests: dict[str, str]) -> str:
    """Hash a table of file names and their digests: SHA-256, in hex."""
    lines = (f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash one file's content: SHA-256, in hex; "missing" if it does not exist."""
    try:
        if not path.is_file():  # nor is a FIFO or a device one
            return "missing"
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return "missing"
