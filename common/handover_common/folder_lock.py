"""The lock of a folder in which a dataset grows: one process works there at a time."""

import fcntl
from pathlib import Path
from typing import TextIO

from handover_conversion import DatasetError


def lock_folder(folder: Path, output: Path, work: str) -> TextIO:
    """Make the folder beside `output`, and lock its lock file.

    Closing that, or the process's end, gives the lock back. Raises DatasetError when nothing can be
    written there, or while another process is at the same work ("converting").
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as error:
        raise DatasetError(f"cannot write beside {output}: {error.strerror} (--output)") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if not isinstance(error, BlockingIOError):
            raise DatasetError(f"cannot lock {file.name}: {error.strerror} (--output)") from None
        raise DatasetError(f"another process is {work} to {output}; wait for it") from None
    return file
