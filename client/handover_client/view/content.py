"""Content of a view: what the page and the rerun recording show of a dataset.

Curves, videos and lengths are the dataset's own; nothing is judged here but stillness.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from handover_common import track
from handover_conversion import DatasetError, Finding, check_dataset
from handover_conversion.groot import EpisodeEntry

from handover_client.view.recordings import EpisodeRows, Recordings

MOST_SHOWN = 8  # episodes, unless they are named
_MOST_READ_STEPS = 500_000  # for tasks and idle time: some 100 MB of numbers
_STILL = 0.002  # of a value's range: a joint that moves less from step to step is still


@dataclass(frozen=True)
class Shown:
    """An episode to show: its rows, or why there are none."""

    entry: EpisodeEntry
    rows: EpisodeRows | None
    problem: str = ""


@dataclass(frozen=True)
class View:
    """A dataset's overview, and the episodes to show."""

    recordings: Recordings
    shown: tuple[Shown, ...]
    read: int  # episodes of which the rows were read, evenly spread: tasks and idle are theirs
    unreadable: tuple[str, ...]
    tasks: tuple[tuple[str, int], ...]  # (instruction, episodes), the most frequent first
    idle: tuple[float, ...]  # share of still steps of each episode read

    @property
    def steps(self) -> int:
        """Number of steps of the whole dataset, as its list of episodes says."""
        return sum(each.length for each in self.recordings.dataset.episodes)


def gather(recordings: Recordings, named: Sequence[int]) -> View:
    """Read what a page shows; `named` are the episodes asked for, none for evenly spread ones.

    An episode that cannot be read hides no other. Raises DatasetError for an unknown episode.
    """
    dataset = recordings.dataset
    chosen = [dataset.entry(index) for index in named]
    chosen = chosen or spread(dataset.episodes, MOST_SHOWN)
    rows: dict[int, EpisodeRows] = {}
    problems: dict[int, str] = {}
    sample = _sample(dataset.episodes)
    wanted = {each.index: each for each in (*chosen, *sample)}
    for each in track(wanted.values(), "reading rows", total=len(wanted), transient=True):
        try:
            rows[each.index] = recordings.read_rows(each)
        except DatasetError as error:
            problems[each.index] = f"episode {each.index}: {error}"
    read = [rows[each.index] for each in sample if each.index in rows]
    counted: dict[str, int] = {}
    for each in read:
        counted[each.task] = counted.get(each.task, 0) + 1
    return View(
        recordings=recordings,
        shown=tuple(
            Shown(each, rows.get(each.index), problems.get(each.index, "")) for each in chosen
        ),
        read=len(read),
        unreadable=tuple(problems.values()),
        tasks=tuple(sorted(counted.items(), key=lambda item: -item[1])),
        idle=idle_shares([each.motion() for each in read]),
    )


def find(recordings: Recordings) -> tuple[Finding, ...]:
    """Check the whole dataset: faults, which would fail or train wrongly, and notes."""
    return check_dataset(recordings.dataset.path)


def spread(episodes: Sequence[EpisodeEntry], most: int) -> list[EpisodeEntry]:
    """Choose at most `most` episodes, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(episodes) - 1, min(len(episodes), most))
    return [episodes[round(place)] for place in places]


def idle_shares(motions: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Share of each episode's steps in which no value moves; motions: (L, D) each.

    A value moves when it changes by more than 0.2 % of its range over all these episodes.
    """
    moving = [each for each in motions if len(each) > 1 and each.shape[1]]
    if not moving:
        return ()
    high = np.max([np.nanmax(each, axis=0, initial=-np.inf) for each in moving], axis=0)
    low = np.min([np.nanmin(each, axis=0, initial=np.inf) for each in moving], axis=0)
    least = _STILL * np.maximum(high - low, 0)
    still = [(np.nan_to_num(np.abs(np.diff(each, axis=0))) <= least).all(axis=1) for each in moving]
    return tuple(float(each.mean()) for each in still)


def _sample(episodes: Sequence[EpisodeEntry]) -> list[EpisodeEntry]:
    """Choose the episodes whose rows are read: all of them, or evenly spread up to a bound."""
    steps = sum(each.length for each in episodes)
    most = len(episodes) * _MOST_READ_STEPS // max(steps, 1)
    return spread(episodes, max(1, most))
