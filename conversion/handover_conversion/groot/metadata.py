"""Parsers of a GR00T dataset's metadata: rate, groups of columns, episodes, tasks."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from handover_proto import LANGUAGE_KEY

from handover_conversion.errors import DatasetError
from handover_conversion.findings import Finding, fault
from handover_conversion.locations import LARGEST_NUMBER
from handover_conversion.metadata_files import read_json, read_json_lines

ANNOTATION = "annotation."
TASK_ANNOTATION = LANGUAGE_KEY.removeprefix(ANNOTATION)  # its name in modality.json
LONGEST_EPISODE = 10_000_000  # rows: two days at 50 Hz
WIDEST_COLUMN = 100_000
STATE, ACTION = "observation.state", "action"  # columns of groups that name no other


@dataclass(frozen=True)
class EpisodeEntry:
    """An episode of the dataset's list; tasks: the instructions that the list names."""

    index: int
    length: int
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class GroupColumns:
    """Groups of state or action values, and the recorded columns behind them.

    groups: {group: its slots in the columns laid side by side}; places: {group: (column, start,
    end)}; columns: {column: how many of its first values are laid there, None for all}
    """

    groups: dict[str, slice]
    places: dict[str, tuple[str, int, int]]
    columns: dict[str, int | None]

    def join(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Lay the columns' rows side by side: {column: (L, width)} -> (L, D) float32."""
        parts = [rows[name][:, :width] for name, width in self.columns.items()]
        if not parts:
            return np.zeros((max(map(len, rows.values()), default=0), 0), np.float32)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def problems(self, rows: Mapping[str, np.ndarray]) -> list[str]:
        """List the groups that reach beyond their columns."""
        return [
            f"{group} is {start}…{end}, expected a range within 0…{rows[column].shape[1]}, "
            f"the width of {column}"
            for group, (column, start, end) in self.places.items()
            if end > rows[column].shape[1]
        ]


def read_fps(path: Path, info: dict[str, Any]) -> float:
    """Return info.json's rate, in Hz. Raises DatasetError."""
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 100_000:
        raise DatasetError(f"{path}: meta/info.json: expected fps above 0, got {str(fps)[:40]!r}")
    return float(fps)


def read_features(path: Path, info: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return info.json's features: {column or camera: its description}. Raises DatasetError."""
    features = info.get("features")
    if not isinstance(features, dict) or not features:
        raise DatasetError(f"{path}: meta/info.json has no features")
    for name, feature in features.items():
        shape = feature.get("shape") if isinstance(feature, dict) else None
        sizes = [] if shape is None else shape
        usable = isinstance(sizes, list) and all(isinstance(size, int) for size in sizes)
        if not isinstance(feature, dict) or not usable:
            raise DatasetError(f"{path}: meta/info.json: features[{name!r}] has no shape")
    return features


def read_modality(path: Path) -> dict[str, Any]:
    """Read modality.json. Raises DatasetError; a folder without one is not a GR00T dataset."""
    if path.is_dir() and not os.path.lexists(path / "meta/modality.json"):
        raise DatasetError(
            f"{path} has no meta/modality.json: expected a GR00T dataset; "
            "handover convert makes one from a LeRobot dataset"
        )
    modality = read_json(path, "meta/modality.json")
    for kind in ("video", "annotation"):
        entries = modality.get(kind) or {}
        if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
            raise DatasetError(
                f"{path}: meta/modality.json: {kind} is not usable: expected an object of objects, "
                f"got {str(entries)[:80]}"
            )
        modality[kind] = entries
    return modality


def plain_modality(features: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Describe a LeRobot dataset as modality.json would: each column a group, every camera.

    Columns that begin with "action" are actions, and floats that begin with "observation" or
    "state" are states, as LeRobot's datasets name them.
    """
    modality: dict[str, Any] = {"state": {}, "action": {}, "video": {}, "annotation": {}}
    for name, feature in features.items():
        dtype, shape = str(feature.get("dtype")), feature.get("shape") or [1]
        if dtype in ("video", "image"):
            modality["video"][name.removeprefix("observation.images.")] = {"original_key": name}
        elif dtype.startswith("float") and len(shape) == 1:
            first = re.split("[./]", name)[0].rstrip("s")
            kind = {"observation": "state", "state": "state", "action": "action"}.get(first)
            if kind:
                modality[kind][name] = {"start": 0, "end": shape[0], "original_key": name}
    return modality


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("original_key", ""), str | None)


def read_groups(path: Path, modality: Mapping[str, Any], kind: str, column: str) -> GroupColumns:
    """Read modality.json's groups of state or action; `column` is of those that name none.

    Raises DatasetError.
    """
    places: dict[str, tuple[str, int, int]] = {}
    try:
        for name, part in modality[kind].items():
            start, end = part["start"], part["end"]
            if not _is_entry(part) or type(start) is not int or type(end) is not int:
                raise ValueError(f"{name} is {str(part)[:80]}")
            if not 0 <= start < end <= WIDEST_COLUMN:
                raise ValueError(f"{kind}.{name} is {start}…{end}, expected a range from 0 on")
            places[name] = (part.get("original_key") or column, start, end)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path}: meta/modality.json: {kind} is not usable: {str(error)[:200]!r}"
        ) from None
    return _laid_out(places)


def _laid_out(places: dict[str, tuple[str, int, int]]) -> GroupColumns:
    """Give every group its slots; a single column keeps all of its values, used or not."""
    used = list(dict.fromkeys(name for name, _, _ in places.values()))
    if not used:
        return GroupColumns({}, {}, {})
    if len(used) == 1:
        groups = {name: slice(start, end) for name, (_, start, end) in places.items()}
        return GroupColumns(groups, places, {used[0]: None})
    ends = {name: max(end for place, _, end in places.values() if place == name) for name in used}
    first = dict(zip(used, np.cumsum([0, *ends.values()]).tolist(), strict=False))
    groups = {
        name: slice(first[place] + start, first[place] + end)
        for name, (place, start, end) in places.items()
    }
    return GroupColumns(groups, places, dict(ends))


def read_episodes(path: Path, faults: list[Finding] | None = None) -> tuple[EpisodeEntry, ...]:
    """Read meta/episodes.jsonl. Raises DatasetError, or collects what is wrong in `faults`."""
    name = "meta/episodes.jsonl"
    records, wrong = read_json_lines(path, name, {"episode_index": int, "length": int})
    for one in wrong:
        _tell(path, f"{one.file}: {one.what}", one.episode, faults)
    return checked_entries(path, name, records, faults)


def checked_entries(
    path: Path,
    name: str,
    records: Sequence[Mapping[str, Any]],
    faults: list[Finding] | None = None,
) -> tuple[EpisodeEntry, ...]:
    """Check the records of an episode list. Raises DatasetError, or collects in `faults`."""
    entries: dict[int, EpisodeEntry] = {}
    for record in records:
        index, length, tasks = record["episode_index"], record["length"], record.get("tasks")
        if not 0 <= index <= LARGEST_NUMBER or not 0 <= length <= LONGEST_EPISODE:
            what = f"episode {index} has length {length}, expected 0 to {LONGEST_EPISODE} rows"
            _tell(path, f"{name}: {what}", None, faults)
            continue
        if index in entries:
            _tell(path, f"{name} lists an episode twice", index, faults)
        named = tasks if isinstance(tasks, list) else [] if tasks is None else [tasks]
        entries[index] = EpisodeEntry(index, length, tuple(map(str, named)))
    return tuple(entries.values())


def read_tasks(path: Path, faults: list[Finding] | None = None) -> dict[int, str]:
    """Read meta/tasks.jsonl: {task_index: text}. Raises DatasetError, or collects in `faults`."""
    name = "meta/tasks.jsonl"
    records, wrong = read_json_lines(path, name, {"task_index": int, "task": str})
    for one in wrong:
        _tell(path, f"{one.file}: {one.what}", None, faults)
    return {record["task_index"]: record["task"] for record in records}


def _tell(path: Path, what: str, episode: int | None, faults: list[Finding] | None) -> None:
    if faults is None:
        raise DatasetError(f"{path}: {what}")
    faults.append(fault("structure", what, episode))
