"""Source of a conversion: a local folder, or a Hub repository, which is downloaded."""

from pathlib import Path

from handover_common import HubError, UsageError, fetch, is_hub_name

from handover_conversion.errors import DatasetError


def find_source(source: str, revision: str | None, video_key: str) -> Path:
    """Return the folder of `source`: a local one as it is, a Hub repository's after its download.

    Of a repository only the metadata, the rows and the one camera are fetched, into the Hub's own
    cache. Raises DatasetError, and UsageError for a revision of a local folder.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"--revision is for a Hub repository, and {source} is a local folder")
        return folder.resolve()
    if folder.exists():
        raise DatasetError(f"{source} is a file, expected a dataset's folder (--source)")
    if not is_hub_name(source):
        raise DatasetError(
            f"{source}: no such folder, and not the name of a Hub repository (--source)"
        )
    wanted = ["meta/*", "data/*", f"videos/*{video_key}/*"]
    try:
        return fetch(source, files=wanted, revision=revision, kind="dataset", extra="convert")
    except HubError as error:
        raise DatasetError(f"{source}: no such folder, and {error}") from error
