"""ALOHA's modality configuration under GR1's layout, and its processor from a GR00T dataset."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from handover_proto import GR1_DIMS, RELATIVE_GROUPS

from handover_model.checkpoints.metadata import CheckpointMetadata
from handover_model.errors import StatisticsError
from handover_model.network.json_settings import read_json
from handover_model.processing.modality import ActionConfig, ActionRep, Modality, ModalityConfig
from handover_model.processing.processor_config import ProcessorConfig
from handover_model.processing.state_action import NormalizeOptions
from handover_model.processing.statistics import EmbodimentStatistics, slice_statistics

TAG = "gr1"
CAMERA = "ego_view"
LANGUAGE_KEY = "annotation.human.task_description"
UNITS = {name: "1 (0 closed, 1 open)" if name.endswith("hand") else "rad" for name in GR1_DIMS}


def aloha_modality(horizon: int) -> ModalityConfig:
    """Describe ALOHA to the network: arms relative to the state, hands and waist absolute."""
    groups = tuple(GR1_DIMS)
    actions = tuple(
        ActionConfig(ActionRep.RELATIVE if name in RELATIVE_GROUPS else ActionRep.ABSOLUTE)
        for name in groups
    )
    return ModalityConfig(
        video=Modality((CAMERA,)),
        state=Modality(groups),
        action=Modality(groups, tuple(range(horizon)), actions=actions),
        language=Modality((LANGUAGE_KEY,)),
    )


def dataset_statistics(dataset: Path) -> EmbodimentStatistics:
    """Cut a GR00T dataset's statistics into the embodiment's keys."""
    meta = dataset / "meta"
    return slice_statistics(
        read_json(meta / "stats.json"),
        read_json(meta / "relative_stats.json"),
        read_json(meta / "modality.json"),
    )


def aloha_processor(
    statistics: EmbodimentStatistics, *, max_state_dim: int, max_action_dim: int
) -> ProcessorConfig:
    """Make the processor settings for ALOHA data with the given statistics.

    The chunk is as long as the statistics of the relative actions. Raises StatisticsError when
    these are missing or have different lengths.
    """
    lengths = {
        name: statistics.relative_action[name].min.shape[0]
        for name in RELATIVE_GROUPS
        if name in statistics.relative_action
    }
    if len(lengths) != len(RELATIVE_GROUPS) or len(set(lengths.values())) != 1:
        raise StatisticsError(
            f"relative_stats.json: expected {', '.join(RELATIVE_GROUPS)} with equally many "
            f"steps, got {lengths}"
        )
    (horizon,) = set(lengths.values())
    return ProcessorConfig(
        modalities={TAG: aloha_modality(horizon)},
        statistics={TAG: statistics},
        normalise=NormalizeOptions(use_relative_action=True),
        max_state_dim=max_state_dim,
        max_action_dim=max_action_dim,
        max_action_horizon=horizon,
    )


def dataset_metadata(dataset: Path) -> CheckpointMetadata:
    """Take the control rate and the camera's size from a dataset's meta/info.json."""
    info = read_json(dataset / "meta" / "info.json")
    video = read_json(dataset / "meta" / "modality.json").get("video", {})
    sizes: dict[str, tuple[int, int]] = {}
    for name, entry in video.items():
        feature: Mapping[str, object] = info.get("features", {}).get(entry["original_key"], {})
        shape = feature.get("shape")
        if isinstance(shape, list) and len(shape) == 3:
            sizes[name] = (int(shape[0]), int(shape[1]))
    return CheckpointMetadata(rate_hz=float(info["fps"]), units=UNITS, camera_sizes=sizes)


def in_slot(config: ProcessorConfig, slot: int) -> ProcessorConfig:
    """Move the embodiment to another slot of the network, for networks with few of them."""
    return dataclasses.replace(config, embodiment_ids={TAG: slot})
