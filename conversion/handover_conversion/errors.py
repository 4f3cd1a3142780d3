"""Dataset errors and faults: each fault with its file and episode, all of them reported at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from handover_common import HandoverError

from handover_conversion.findings import Finding


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


OneFault = TypeVar("OneFault", Fault, Finding, Fault | Finding)


class FaultyDataset(DatasetError):
    """A dataset with faults, which are listed below a summary."""

    def __init__(self, summary: str, faults: Iterable[Fault | Finding]) -> None:
        super().__init__(report(summary, faults))

    def lines(self) -> list[str]:
        """See HandoverError.lines: the summary, and a line for each fault."""
        return str(self).splitlines()


class FaultyEpisode(DatasetError):
    """An unreadable episode; `faults` are the reasons."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults

    def __reduce__(self) -> tuple[type["FaultyEpisode"], tuple[tuple[Fault, ...]]]:
        return FaultyEpisode, (self.faults,)  # as constructed: it is pickled between processes


def in_reading_order(faults: Iterable[OneFault]) -> tuple[OneFault, ...]:
    """Sort faults by episode, those of the whole dataset first, and drop duplicates."""
    unique = dict.fromkeys(faults)
    return tuple(sorted(unique, key=lambda fault: -1 if fault.episode is None else fault.episode))


def report(summary: str, faults: Iterable[Fault | Finding]) -> str:
    """Format a summary, and below it one line per fault."""
    return "\n".join([summary, *(f"  {fault}" for fault in in_reading_order(faults))])
