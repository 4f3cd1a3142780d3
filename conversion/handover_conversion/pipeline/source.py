"""Source of a conversion: a local folder, or a Hub repository, which is downloaded."""

from collections.abc import Sequence
from pathlib import Path

from handover_common import HubError, UsageError, fetch, is_hub_name

from handover_conversion.errors import DatasetError
from handover_conversion.hdf5.aloha import VERSION as ALOHA_HDF5
from handover_conversion.hdf5.aloha import describe_aloha, is_aloha_hdf5, open_aloha
from handover_conversion.lerobot.open import describe_lerobot, open_lerobot
from handover_conversion.recordings import Recordings, RowFormat, RowsError, SourceInfo

_SUCCESS = ("success", "next.success")  # handover drive's column; LeRobot's


def find_source(source: str, revision: str | None, cameras: Sequence[str] | None) -> Path:
    """Return the folder of `source`: a local one as it is, a Hub repository's after its download.

    Of a repository only the metadata are fetched, into the Hub's own cache, and with `cameras` (by
    their keys) the rows and their videos. Raises DatasetError, and UsageError for a revision of a
    local folder.
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
    wanted = ["meta/*"]
    if cameras is not None:
        wanted += ["data/*", *(f"videos/*{key}/*" for key in cameras)]
    try:
        return fetch(source, files=wanted, revision=revision, kind="dataset", extra="convert")
    except HubError as error:
        raise DatasetError(f"{source}: no such folder, and {error}") from error


def failed_episodes(recordings: Recordings) -> frozenset[int] | None:
    """Find the episodes that no row says to be a success; None where no column tells.

    One whose file cannot be read is not among them: it is a fault, and converting it says which.
    """
    column = next((name for name in _SUCCESS if name in recordings.source.columns), None)
    if column is None:
        return None
    form = RowFormat((column,), {column: 1}, (), frozenset(), time_column=None)
    failed = set()
    for episode in recordings.episodes:
        try:
            succeeds = bool(episode.rows.read(episode.index, form).columns[column].any())
        except RowsError as error:
            succeeds = not any(problem.startswith(f"{column}:") for problem in error.problems)
        if not succeeds:
            failed.add(episode.index)
    return frozenset(failed)


def describe_source(root: Path, fps: float | None = None) -> SourceInfo:
    """Read what a folder of recordings says of itself: LeRobot's, GR00T's or ALOHA's HDF5.

    fps: the rate of HDF5 recordings, which do not state one. Raises DatasetError.
    """
    if is_aloha_hdf5(root):
        return describe_aloha(root, fps)
    if fps is not None:
        raise UsageError(f"--source-fps is for HDF5 recordings, and {root} states its rate")
    return describe_lerobot(root)


def open_recordings(
    source: SourceInfo, cameras: Sequence[str] | None = None, fps_is_given: bool = False
) -> Recordings:
    """Find a source's episodes, with the cameras of these keys; by default with all.

    Raises DatasetError where no episode could be read.
    """
    keys = source.cameras if cameras is None else tuple(cameras)
    if source.version == ALOHA_HDF5:
        return open_aloha(source, keys, fps_is_given)
    return open_lerobot(source, keys)
