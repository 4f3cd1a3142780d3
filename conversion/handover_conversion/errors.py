"""What can be wrong with a dataset, and how it is told: by file and episode, all of it at once."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handover_common import HandoverError


class DatasetError(HandoverError):
    """A dataset, or something in it, is not what was expected."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a dataset."""

    file: str  # path inside the dataset
    what: str
    episode: int | None = None  # None: the fault is not one episode's

    def __str__(self) -> str:
        place = self.file if self.episode is None else f"episode {self.episode}: {self.file}"
        return f"{place}: {' '.join(self.what.split())}"


class FaultyDataset(DatasetError):
    """A dataset has faults; all of them are listed below a summary."""

    def __init__(self, summary: str, faults: Iterable[Fault]) -> None:
        super().__init__(report(summary, faults))

    def lines(self) -> list[str]:
        """See HandoverError.lines: the summary, and a line for each fault."""
        return str(self).splitlines()


class FaultyEpisode(DatasetError):
    """An episode cannot be read; `faults` says why."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults

    def __reduce__(self) -> tuple[type["FaultyEpisode"], tuple[tuple[Fault, ...]]]:
        return FaultyEpisode, (self.faults,)  # as it was built: it crosses process borders


@contextmanager
def report_disk_errors(output: Path) -> Iterator[None]:
    """Raise DatasetError where the disk on which `output` grows is full or broken."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            raise
        raise DatasetError(
            f"cannot go on writing beside {output}: {error.strerror}; "
            "the finished episodes are kept, the same command goes on from them"
        ) from error


def in_reading_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Sort faults by episode, those of the whole dataset first, without repetitions."""
    unique = dict.fromkeys(faults)
    return tuple(sorted(unique, key=lambda fault: -1 if fault.episode is None else fault.episode))


def report(summary: str, faults: Iterable[Fault]) -> str:
    """Write a summary and one line for each fault below it."""
    return "\n".join([summary, *(f"  {fault}" for fault in in_reading_order(faults))])
