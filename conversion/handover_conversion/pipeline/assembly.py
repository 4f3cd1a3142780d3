"""Putting the dataset together from finished episodes: numbers, metadata, statistics, record."""

from collections.abc import Sequence
from typing import Any

from handover_common import json_bytes, json_lines_bytes, write_bytes

from handover_conversion.errors import Fault
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.dataset_statistics import float_statistics, relative_statistics
from handover_conversion.groot.writer import (
    DatasetShape,
    describe_episodes,
    describe_info,
    describe_modality,
    describe_tasks,
    place,
)
from handover_conversion.lerobot.dataset import LeRobotDataset
from handover_conversion.pipeline.episode import Target
from handover_conversion.pipeline.staging import Staging


def assemble(
    staging: Staging,
    recordings: LeRobotDataset,
    target: Target,
    chosen: Sequence[int],
    left_out: Sequence[Fault],
    plan: dict[str, Any],
) -> int:
    """Make the whole dataset of the chosen recorded episodes, in their order; give its rows."""
    staging.fresh_folder("dataset")
    lengths: list[int] = []
    used_tasks: list[list[int]] = []
    rows = 0
    for index, recorded in enumerate(chosen):
        length, tasks = staging.number(recorded, index, rows)
        lengths.append(length)
        used_tasks.append(tasks)
        rows += length
    shape = DatasetShape(
        robot_type=recordings.robot_type,
        fps=float(target.to_hz),
        image_size=target.image_size,
        codec=target.codec,
        embodiment=target.embodiment,
    )
    record = {
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
    episodes = describe_episodes(lengths, used_tasks, recordings.tasks)
    files = {
        "info.json": json_bytes(describe_info(shape, lengths, len(recordings.tasks))),
        "episodes.jsonl": json_lines_bytes(episodes),
        "tasks.jsonl": json_lines_bytes(describe_tasks(recordings.tasks)),
        "modality.json": json_bytes(describe_modality(target.embodiment)),
        "conversion.json": json_bytes(record),
    }
    for name, content in files.items():
        write_bytes(place(staging.dataset, f"meta/{name}"), content)
    dataset = GrootDataset.open(staging.dataset)
    groups = target.embodiment.relative_groups
    statistics = {
        "stats.json": float_statistics(dataset),
        "relative_stats.json": relative_statistics(dataset, groups, plan["parameters"]["horizon"]),
    }
    for name, content in statistics.items():
        write_bytes(staging.dataset / "meta" / name, json_bytes(content))
    return rows
