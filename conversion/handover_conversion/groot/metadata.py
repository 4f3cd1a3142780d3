"""Parsers of a GR00T dataset's metadata: rate, groups of slots, episodes, tasks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_proto import LANGUAGE_KEY

from handover_conversion.errors import DatasetError
from handover_conversion.metadata_files import read_json, read_json_lines

TASK_ANNOTATION = LANGUAGE_KEY.removeprefix("annotation.")  # its name in modality.json


@dataclass(frozen=True)
class EpisodeEntry:
    """One line of meta/episodes.jsonl."""

    index: int
    length: int
    tasks: tuple[str, ...]


def read_fps(path: Path, info: dict[str, Any]) -> float:
    """Return info.json's rate, in Hz. Raises DatasetError."""
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or fps <= 0:
        raise DatasetError(f"{path}: meta/info.json: expected fps above 0, got {fps!r}")
    return float(fps)


def read_modality(path: Path) -> dict[str, Any]:
    """Read modality.json. Raises DatasetError; a folder without one is not a GR00T dataset."""
    if not (path / "meta/modality.json").is_file():
        raise DatasetError(
            f"{path} has no meta/modality.json: expected a GR00T dataset; "
            "handover convert makes one from a LeRobot dataset"
        )
    modality = read_json(path, "meta/modality.json")
    for kind in ("video", "annotation"):
        entries = modality.get(kind, {})
        if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
            raise DatasetError(
                f"{path}: meta/modality.json: {kind} is not usable: expected an object of objects, "
                f"got {str(entries)[:80]}"
            )
    return modality


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("original_key", ""), str | None)


def read_groups(
    path: Path, modality: dict[str, Any], kind: str, default_column: str
) -> tuple[dict[str, slice], str]:
    """Read modality.json's groups of state or action, and the one column that holds them.

    Raises DatasetError.
    """
    groups, columns = {}, set()
    try:
        for name, part in modality[kind].items():
            if not _is_entry(part):
                raise ValueError(f"{name} is {part!r}")
            groups[name] = slice(int(part["start"]), int(part["end"]))
            columns.add(part.get("original_key") or default_column)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{path}: meta/modality.json: {kind} is not usable: {error!r}") from None
    if len(columns) != 1:
        raise DatasetError(
            f"{path}: meta/modality.json: expected {kind} groups of one column, "
            f"got {sorted(columns)}"
        )
    return groups, columns.pop()


def read_episodes(path: Path) -> tuple[EpisodeEntry, ...]:
    """Read meta/episodes.jsonl. Raises DatasetError."""
    records, faults = read_json_lines(
        path, "meta/episodes.jsonl", {"episode_index": int, "length": int, "tasks": list}
    )
    if faults:
        raise DatasetError(f"{path}: {faults[0]}")
    entries = tuple(
        EpisodeEntry(record["episode_index"], record["length"], tuple(map(str, record["tasks"])))
        for record in records
    )
    if len({entry.index for entry in entries}) != len(entries):
        raise DatasetError(f"{path}: meta/episodes.jsonl lists an episode twice")
    return entries


def read_tasks(path: Path) -> dict[int, str]:
    """Read meta/tasks.jsonl: {task_index: text}. Raises DatasetError."""
    records, faults = read_json_lines(path, "meta/tasks.jsonl", {"task_index": int, "task": str})
    if faults:
        raise DatasetError(f"{path}: {faults[0]}")
    return {record["task_index"]: record["task"] for record in records}
