"""Source of a conversion: a local folder, or a hub repository that is downloaded."""

from pathlib import Path

from handover_common import HubError, UsageError, fetch, is_hub_name

from handover_conversion.errors import DatasetError


def find_source(source: str, revision: str | None, video_key: str) -> Path:
    """Return the folder of `source`: a local one as it is, a hub repository's after its download.

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
    wanted = ["meta/*", "data/*", f"videos/*{video_key}/*"]
    try:
        return fetch(source, files=wanted, revision=revision, kind="dataset", extra="convert")
    except HubError as error:
        raise DatasetError(f"{source}: no such folder, and {error}") from error
