"""Source of a conversion: a local folder, or a hub repository that is downloaded."""

import re
from pathlib import Path

from handover_common import MissingExtra, UsageError

from handover_conversion.errors import DatasetError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


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
    if not _REPOSITORY.fullmatch(source):
        raise DatasetError(f"{source}: no such folder, and no hub repository's name (--source)")
    return _download(source, revision, video_key)


def _download(repository: str, revision: str | None, video_key: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError:
        raise MissingExtra("huggingface_hub", "convert") from None
    wanted = ["meta/*", "data/*", f"videos/*{video_key}/*"]
    try:
        found = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=wanted
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DatasetError(
            f"{repository}: no such folder here, and not to be had from the hub: {reason}"
        ) from error
    return Path(found)
