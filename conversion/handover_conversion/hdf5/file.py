"""Access to an HDF5 file of somebody else's: nothing outside the file, errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover_common import MissingExtra

from handover_conversion.errors import DatasetError

if TYPE_CHECKING:
    import h5py


class Hdf5Error(DatasetError):
    """An HDF5 file that cannot be read, or holds something else than expected."""


@contextmanager
def open_hdf5(path: Path) -> Iterator["h5py.File"]:
    """Open a file for reading. Raises Hdf5Error, and MissingExtra without h5py."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtra("h5py", "hdf5") from error
    if not path.is_file():
        raise Hdf5Error("the file is missing")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Hdf5Error(f"cannot be read: {reason}") from None


def members(file: "h5py.File", name: str) -> list[str]:
    """Name a group's members, in order; none where there is no such group."""
    import h5py

    link = file.get(name, getlink=True)
    group = file.get(name) if isinstance(link, h5py.HardLink) else None
    return sorted(group.keys()) if isinstance(group, h5py.Group) else []


def find_dataset(file: "h5py.File", name: str) -> "h5py.Dataset | None":
    """Return a dataset of the file itself; None if there is none. Raises Hdf5Error.

    Links to other files, and values stored in them, are refused: a recording is one file.
    """
    import h5py

    place: Any = file
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise Hdf5Error(f"{name} is a link, expected values in the file itself")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        return None
    if place.external or place.is_virtual:
        raise Hdf5Error(f"{name} is stored in another file, expected values in the file itself")
    return place
