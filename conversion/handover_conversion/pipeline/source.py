"""Finding the dataset that a command names, and telling by a hash what exactly it holds."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from handover_common import HubError, UsageError, fetch, is_hub_name
from handover_common.parallel import Executor

from handover_conversion.errors import DatasetError

_BLOCK_BYTES = 1 << 20


def find_source(source: str, revision: str | None, video_key: str) -> Path:
    """Give the folder of `source`: a local one as it is, a hub repository's after its download.

    Of a repository only the metadata, the rows and the one camera are fetched, into the hub's own
    cache. Raises DatasetError, and UsageError for a folder's revision.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"--revision is a hub repository's, {source} is a folder here")
        return folder.resolve()
    if folder.exists():
        raise DatasetError(f"{source} is a file, expected a dataset's folder (--source)")
    if not is_hub_name(source):
        raise DatasetError(f"{source}: no such folder, and no hub repository's name (--source)")
    return _download(source, revision, video_key)


def _download(repository: str, revision: str | None, video_key: str) -> Path:
    wanted = ["meta/*", "data/*", f"videos/*{video_key}/*"]
    try:
        return fetch(repository, files=wanted, revision=revision, kind="dataset", extra="convert")
    except HubError as error:
        raise DatasetError(f"{repository}: no such folder, and {error}") from error


def hash_files(root: Path, paths: Iterable[Path], executor: Executor) -> str:
    """Hash the names and contents of a dataset's files: SHA-256, in hex.

    A missing file counts by its absence, so that its later appearance is a change.
    """
    files = sorted(set(paths))
    digests = {o.task: o.unwrap() for o in executor.map_unordered(file_digest, files)}
    return combine_digests({path.relative_to(root).as_posix(): digests[path] for path in files})


def combine_digests(digests: dict[str, str]) -> str:
    """Hash a table of file names and their digests: SHA-256, in hex."""
    lines = (f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash one file's content: SHA-256, in hex; "missing" where there is none."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return "missing"
