"""Episodes that a reader of LeRobot datasets found, and those that it misses."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from handover_conversion.errors import Fault
from handover_conversion.recordings import RecordedEpisode

_MOST_UNLISTED = 1000  # episodes that are looked for one by one


@dataclass(frozen=True)
class FoundEpisodes:
    """A dataset's episodes in the order of their indices, with what is wrong or worth telling."""

    episodes: tuple[RecordedEpisode, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...] = ()


def unlisted_episodes(
    name: str,
    info: Mapping[str, Any],
    listed: Collection[int],
    faults: Iterable[Fault],
    exists: Callable[[int], bool],
) -> tuple[list[Fault], list[str]]:
    """Report episodes that info.json counts and the list `name` lacks, unless faulty already.

    Indices with gaps are what deleting episodes leaves: no fault where nothing else is left of
    them, by `exists`.
    """
    total = info.get("total_episodes")
    if not isinstance(total, int) or isinstance(total, bool):
        return [], []
    if total > len(listed) + _MOST_UNLISTED:
        return [Fault(name, f"lists {len(listed)} episodes of {total} in info.json")], []
    known = {*listed, *(fault.episode for fault in faults)}
    if total <= len(known - {None}) and max(listed, default=0) >= total:
        return [], []  # as many as are counted, with other numbers
    missing = [index for index in range(total) if index not in known]
    there = [index for index in missing if exists(index)]
    gone = len(missing) - len(there)
    notes = [f"info.json counts {total} episodes, {gone} of them deleted"] if gone else []
    return [Fault(name, f"not listed, of {total} in info.json", index) for index in there], notes
