"""Metadata of our checkpoints beyond NVIDIA's layout: `handover.json`.

The published files have no place for the control rate, the units, the cameras' sizes and the
episodes of training. A checkpoint without this file can be served too.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handover_proto import LatencyEnvelope, TrainingRecord

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import read_json
from handover_model.processing.aloha import UNITS

METADATA_FILE = "handover.json"
MAX_RATE_HZ = 10_000
MAX_LATENCY_MS = 10_000


@dataclass(frozen=True)
class CheckpointMetadata:
    """Intended use of a checkpoint, and its training data."""

    rate_hz: float = 0.0
    """Control steps per second of its chunks; 0 if unknown"""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of each state and action group"""
    camera_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(height, width) in pixels of each camera's recordings"""
    training: tuple[TrainingRecord, ...] = ()
    max_delay_steps: int = 0
    """The most given steps that its chunks have learnt to continue; 0 if none"""
    latency_envelopes: tuple[LatencyEnvelope, ...] = ()
    """Up to which latency each task succeeds, where that was measured; no answer depends on them"""


def load_metadata(folder: Path) -> CheckpointMetadata:
    """Read handover.json of a checkpoint; defaults if there is none."""
    path = folder / METADATA_FILE
    if not path.is_file():
        return CheckpointMetadata()
    values = read_json(path)
    try:
        rate_hz = float(values.get("rate_hz", 0.0))
        if not 0 <= rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"rate_hz is {rate_hz}, expected 0 to {MAX_RATE_HZ}")
        return CheckpointMetadata(
            rate_hz=rate_hz,
            units={str(key): str(unit) for key, unit in values.get("units", {}).items()},
            camera_sizes={
                name: (int(height), int(width))
                for name, (height, width) in values.get("camera_sizes", {}).items()
            },
            training=tuple(_record(record) for record in values.get("training", [])),
            max_delay_steps=int(values.get("max_delay_steps", 0)),
            latency_envelopes=tuple(
                _envelope(each) for each in values.get("latency_envelopes", [])
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} is not in Handover's format: {error!r}") from error


def dataset_metadata(dataset: Path) -> CheckpointMetadata:
    """Read the control rate and the cameras' sizes from a dataset's meta/info.json."""
    info = read_json(dataset / "meta" / "info.json")
    video = read_json(dataset / "meta" / "modality.json").get("video", {})
    sizes: dict[str, tuple[int, int]] = {}
    for name, entry in video.items():
        key = entry.get("original_key") or f"observation.images.{name}"
        feature: Mapping[str, object] = info.get("features", {}).get(key, {})
        shape = feature.get("shape")
        if isinstance(shape, list) and len(shape) == 3:
            channels_first = shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)
            height, width = shape[1:] if channels_first else shape[:2]
            sizes[name] = (int(height), int(width))
    return CheckpointMetadata(rate_hz=float(info["fps"]), units=UNITS, camera_sizes=sizes)


def save_metadata(metadata: CheckpointMetadata, folder: Path) -> None:
    """Write handover.json into a folder."""
    (folder / METADATA_FILE).write_text(json.dumps(asdict(metadata), indent=2), encoding="utf-8")


def _envelope(values: Mapping[str, Any]) -> LatencyEnvelope:
    latency_ms, jitter_ms = float(values["latency_ms"]), float(values["jitter_ms"])
    if not (0 <= latency_ms <= MAX_LATENCY_MS and 0 <= jitter_ms <= MAX_LATENCY_MS):
        raise ValueError(f"latency {latency_ms} ± {jitter_ms} ms, expected 0 to {MAX_LATENCY_MS}")
    return LatencyEnvelope(
        str(values["task"]),
        str(values["switching"]),
        latency_ms,
        jitter_ms,
        int(values["episodes"]),
    )


def _record(values: Mapping[str, Any]) -> TrainingRecord:
    return TrainingRecord(
        str(values["dataset_name"]),
        str(values["dataset_hash"]),
        tuple(int(number) for number in values["train_episodes"]),
        tuple(int(number) for number in values.get("held_out_episodes", [])),
    )
