"""What a checkpoint of ours says beyond NVIDIA's layout: `handover.json`.

The control rate, the units, the cameras' sizes and the recordings that it was trained on have no
place in the published files. A checkpoint without this file is served all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handover_proto import TrainingRecord

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import read_json

METADATA_FILE = "handover.json"


@dataclass(frozen=True)
class CheckpointMetadata:
    """How a checkpoint is meant to be used, and what it has seen."""

    rate_hz: float = 0.0
    """Control steps per second of its chunks; 0 where unknown"""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of each state and action group"""
    camera_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(height, width) in pixels of each camera's recordings"""
    training: tuple[TrainingRecord, ...] = ()


def load_metadata(folder: Path) -> CheckpointMetadata:
    """Read handover.json of a checkpoint; an empty record where there is none."""
    path = folder / METADATA_FILE
    if not path.is_file():
        return CheckpointMetadata()
    values = read_json(path)
    try:
        return CheckpointMetadata(
            rate_hz=float(values.get("rate_hz", 0.0)),
            units={str(key): str(unit) for key, unit in values.get("units", {}).items()},
            camera_sizes={
                name: (int(height), int(width))
                for name, (height, width) in values.get("camera_sizes", {}).items()
            },
            training=tuple(_record(record) for record in values.get("training", [])),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not as Handover writes it: {error!r}") from error


def save_metadata(notes: CheckpointMetadata, folder: Path) -> None:
    """Write handover.json into a folder."""
    (folder / METADATA_FILE).write_text(json.dumps(asdict(notes), indent=2), encoding="utf-8")


def _record(values: Mapping[str, Any]) -> TrainingRecord:
    return TrainingRecord(
        str(values["dataset_name"]),
        str(values["dataset_hash"]),
        tuple(int(number) for number in values["train_episodes"]),
        tuple(int(number) for number in values.get("held_out_episodes", [])),
    )
