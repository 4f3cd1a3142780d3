"""Assembly of the dataset from finished episodes: numbers, metadata, statistics, record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover_common import json_bytes, json_lines_bytes, write_bytes

from handover_conversion.errors import Fault
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.statistics import float_statistics, relative_statistics
from handover_conversion.groot.writer import (
    DatasetShape,
    describe_episodes,
    describe_info,
    describe_modality,
    describe_tasks,
)
from handover_conversion.pipeline.staging import Staging


def assemble(
    staging: Staging,
    shape: DatasetShape,
    tasks: Mapping[int, str],
    chosen: Sequence[int],
    left_out: Sequence[Fault],
    plan: dict[str, Any],
) -> tuple[int, list[str]]:
    """Assemble the dataset from the chosen recorded episodes, in order.

    Return its row count, and what the episodes' conversion has to tell.
    """
    staging.fresh_folder("dataset")
    lengths, used_tasks, notes = [], [], list(plan["notes"])
    for index, recorded in enumerate(chosen):
        length, used, told = staging.number(recorded, index, sum(lengths), shape)
        lengths.append(length)
        used_tasks.append(used)
        notes += [f"episode {recorded}: {note}" for note in told]
    files = {
        "info.json": json_bytes(describe_info(shape, lengths, len(tasks))),
        "episodes.jsonl": json_lines_bytes(describe_episodes(lengths, used_tasks, tasks)),
        "tasks.jsonl": json_lines_bytes(describe_tasks(tasks)),
        "modality.json": json_bytes(describe_modality(shape)),
        "conversion.json": json_bytes(_record({**plan, "notes": notes}, chosen, left_out)),
    }
    _write_metadata(staging.dataset, files)
    dataset = GrootDataset.open(staging.dataset)
    groups, horizon = shape.robot.relative_groups, plan["parameters"]["horizon"]
    statistics = {
        "stats.json": json_bytes(float_statistics(dataset)),
        "relative_stats.json": json_bytes(relative_statistics(dataset, groups, horizon)),
    }
    _write_metadata(staging.dataset, statistics)
    return sum(lengths), notes


def _record(
    plan: dict[str, Any], chosen: Sequence[int], left_out: Sequence[Fault]
) -> dict[str, Any]:
    """Make meta/conversion.json: the plan, which episode became which, and what was left out."""
    return {
        **plan,
        "episodes": [
            {"episode_index": index, "source_episode_index": recorded}
            for index, recorded in enumerate(chosen)
        ],
        "left_out": [
            {"source_episode_index": fault.episode, "file": fault.file, "fault": fault.what}
            for fault in left_out
        ],
    }


def _write_metadata(dataset: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        write_bytes(dataset / f"meta/{name}", content)
