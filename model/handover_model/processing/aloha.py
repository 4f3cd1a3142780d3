"""ALOHA's modality configuration in GR1's layout, and its processor for a GR00T dataset."""

import dataclasses
from pathlib import Path

from handover_proto import CAMERA, GR1_DIMS, LANGUAGE_KEY, RELATIVE_GROUPS

from handover_model.errors import StatisticsError
from handover_model.network.json_settings import read_json
from handover_model.processing.modality import ActionConfig, ActionRep, Modality, ModalityConfig
from handover_model.processing.processor_config import ProcessorConfig
from handover_model.processing.state_action import NormalizeOptions
from handover_model.processing.statistics import EmbodimentStatistics, slice_statistics

TAG = "gr1"
UNITS = {name: "1 (0 closed, 1 open)" if name.endswith("hand") else "rad" for name in GR1_DIMS}


def aloha_modality(horizon: int) -> ModalityConfig:
    """Return ALOHA's modalities: arms relative to the state, hands and waist absolute."""
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
    """Split a GR00T dataset's statistics by the embodiment's keys."""
    meta = dataset / "meta"
    return slice_statistics(
        read_json(meta / "stats.json"),
        read_json(meta / "relative_stats.json"),
        read_json(meta / "modality.json"),
    )


def aloha_processor(
    statistics: EmbodimentStatistics, *, max_state_dim: int, max_action_dim: int
) -> ProcessorConfig:
    """Return the processor settings for ALOHA data with the given statistics.

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
        normalize=NormalizeOptions(use_relative_action=True),
        max_state_dim=max_state_dim,
        max_action_dim=max_action_dim,
        max_action_horizon=horizon,
    )


def in_slot(config: ProcessorConfig, slot: int) -> ProcessorConfig:
    """Move the embodiment to another slot of the network, for networks with few slots."""
    return dataclasses.replace(config, embodiment_ids={TAG: slot})
