"""The check of a whole dataset, of LeRobot's layouts or GR00T's, whatever tool made it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import track, write_json

from handover_conversion.check.content import content_findings
from handover_conversion.check.episodes import EpisodeRows, read_rows, video_findings
from handover_conversion.check.frames import frame_findings
from handover_conversion.check.metadata import (
    KIND,
    metadata_findings,
    pointer_files,
    pointer_findings,
)
from handover_conversion.check.statistics import statistics_findings
from handover_conversion.errors import DatasetError
from handover_conversion.findings import Finding, fault, in_reading_order
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.metadata import EpisodeEntry
from handover_conversion.groot.statistics import float_statistics, relative_statistics
from handover_conversion.metadata_files import read_json

_THREADS = 2  # decoding runs outside Python's lock
STATISTICS_FILE, RELATIVE_FILE = "meta/stats.json", "meta/relative_stats.json"
LONGEST_CHUNK = 4096


def check_dataset(path: Path) -> tuple[Finding, ...]:
    """Find what is wrong (faults) and what is strange (notes) in the dataset at `path`."""
    path = path.absolute()  # so that it stands for nothing else in a text
    inside = f"{path}/"
    found = (replace(one, text=one.text.replace(inside, "")) for one in _find(path))
    return in_reading_order(found)


def _find(path: Path) -> list[Finding]:
    pointers = pointer_files(path) if path.is_dir() else []
    findings = list(pointer_findings(path, pointers))
    try:
        dataset = GrootDataset.open(path, plain=True, faults=findings)
    except DatasetError as error:
        told = bool(findings) and "Git LFS" in str(error)
        return findings if told else [*findings, fault(KIND, str(error))]
    try:
        dataset.files()
    except DatasetError as error:  # the files cannot be found
        return [*findings, fault(KIND, str(error))]
    findings += metadata_findings(dataset)
    held = {pointer.relative_to(path).as_posix() for pointer in pointers}
    whole = [entry for entry in dataset.episodes if entry.length >= 1]
    episodes = [one for entry in whole if (one := _rows(dataset, entry, held, findings))]
    findings += statistics_findings(dataset, episodes)
    findings += content_findings(dataset, episodes)
    findings += _frames(dataset, whole, episodes, held)
    return findings


def summary(path: Path, findings: Sequence[Finding]) -> str:
    """Say in a line what a check found, and of what."""
    faults = sum(one.severity == "fault" for one in findings)
    counted = f"{faults or 'no'} fault{'s' * (faults != 1)}"
    notes = len(findings) - faults
    if notes:
        counted += f", {notes} note{'s' * (notes != 1)}"
    if faults:
        return f"{path}: {counted}"
    dataset = GrootDataset.open(path, plain=True)
    rows = sum(entry.length for entry in dataset.episodes)
    cameras = ", ".join(dataset.cameras) or "none"
    return f"{path}: {counted}; {len(dataset.episodes)} episodes, {rows} rows, cameras: {cameras}"


def write_statistics(path: Path) -> Path:
    """Write the statistics of a dataset's rows to its meta/stats.json, atomically.

    relative_stats.json is written anew where there is one, for the chunks that it is about; else a
    training computes it, which knows the chunk's length. Raises DatasetError.
    """
    dataset = GrootDataset.open(path, plain=True)
    content = float_statistics(dataset)
    relative = _relative_again(dataset)
    write_json(path / STATISTICS_FILE, content)
    if relative:
        write_json(path / RELATIVE_FILE, relative)
    return path / STATISTICS_FILE


def _relative_again(dataset: GrootDataset) -> dict[str, Any]:
    if not (dataset.path / RELATIVE_FILE).exists():
        return {}
    horizons: dict[str, int] = {}
    for group, statistics in read_json(dataset.path, RELATIVE_FILE).items():
        mean = statistics.get("mean") if isinstance(statistics, dict) else None
        if group in dataset.action_groups and group in dataset.state_groups:
            horizons[group] = len(mean) if isinstance(mean, list) else 0
    found: dict[str, Any] = {}
    for group, horizon in horizons.items():
        if not 1 <= horizon <= LONGEST_CHUNK:
            raise DatasetError(f"{dataset.path / RELATIVE_FILE}: {group} has {horizon} steps")
        found |= relative_statistics(dataset, [group], horizon)
    return found


def _rows(
    dataset: GrootDataset, entry: EpisodeEntry, held: set[str], findings: list[Finding]
) -> EpisodeRows | None:
    if dataset.layout.rows(entry.index).name in held:
        return None  # a pointer, which is told already
    return read_rows(dataset, entry, findings)


def _frames(
    dataset: GrootDataset,
    entries: Sequence[EpisodeEntry],
    episodes: Sequence[EpisodeRows],
    held: set[str],
) -> Iterator[Finding]:
    states = {one.entry.index: dataset.state_columns.join(one.columns) for one in episodes}
    ranges = np.ptp(np.concatenate(list(states.values())), axis=0) if states else np.zeros(0)

    def look(entry: EpisodeEntry) -> list[Finding]:
        found = [one for one in video_findings(dataset, entry) if "Git LFS pointer" not in one.text]
        state = states.get(entry.index)
        more = () if state is None else frame_findings(dataset, entry.index, state, ranges)
        return [*found, *more]

    if held and not states:
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = pool.map(look, entries)
        yield from chain.from_iterable(
            track(looked, "looking at the frames", "episodes", total=len(entries), transient=True)
        )
