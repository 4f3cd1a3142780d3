"""Processor settings: processor_config.json, statistics.json and embodiment_id.json."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover_model.errors import CheckpointError, ModalityError
from handover_model.network.json_settings import read_json
from handover_model.processing.image import ImageOptions, check_options
from handover_model.processing.modality import (
    ModalityConfig,
    modality_config_json,
    parse_modality_config,
)
from handover_model.processing.state_action import NormalizeOptions
from handover_model.processing.statistics import (
    EmbodimentStatistics,
    parse_statistics,
    statistics_json,
)

PROCESSOR_FILE = "processor_config.json"
STATISTICS_FILE = "statistics.json"
EMBODIMENT_FILE = "embodiment_id.json"
PROCESSOR_CLASS = "Gr00tN1d6Processor"

# slots in NVIDIA's code of embodiments that embodiment_id.json does not list
EMBODIMENT_IDS = {
    "oxe_google": 0,
    "oxe_widowx": 1,
    "libero_panda": 2,
    "unitree_g1": 8,
    "new_embodiment": 10,
    "robocasa_panda_omron": 13,
    "oxe_droid": 16,
    "gr1": 20,
    "behavior_r1_pro": 24,
}


@dataclass(frozen=True)
class ProcessorConfig:
    """All settings of the processor in a checkpoint."""

    modalities: Mapping[str, ModalityConfig]
    """Of every embodiment, by its tag"""
    statistics: Mapping[str, EmbodimentStatistics]
    """Of every embodiment, by its tag"""
    embodiment_ids: Mapping[str, int] = field(default_factory=lambda: dict(EMBODIMENT_IDS))
    image: ImageOptions = field(default_factory=ImageOptions)
    normalize: NormalizeOptions = field(default_factory=NormalizeOptions)
    formalize_language: bool = True
    max_state_dim: int = 29
    max_action_dim: int = 29
    max_action_horizon: int = 16
    other: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of processor_config.json that nothing reads; written back unchanged"""


def load_processor_config(folder: Path) -> ProcessorConfig:
    """Read a checkpoint's processor files; CheckpointError or ModalityError names what is wrong."""
    path = folder / PROCESSOR_FILE
    kwargs = read_json(path).get("processor_kwargs")
    if not isinstance(kwargs, dict) or not isinstance(kwargs.get("modality_configs"), dict):
        raise CheckpointError(f"{path}: expected processor_kwargs with modality_configs")
    ids_path = folder / EMBODIMENT_FILE
    ids = read_json(ids_path) if ids_path.is_file() else {}
    if not all(type(number) is int and number >= 0 for number in ids.values()):
        raise CheckpointError(f"{ids_path}: expected a slot number for each tag, got {ids}")
    modalities = {
        tag: parse_modality_config(values, f"{path}: {tag}")
        for tag, values in kwargs["modality_configs"].items()
    }
    statistics = {
        tag: parse_statistics(values, f"{folder / STATISTICS_FILE}: {tag}")
        for tag, values in read_json(folder / STATISTICS_FILE).items()
    }
    return parse_arguments(kwargs, modalities, statistics, {**EMBODIMENT_IDS, **ids}, str(path))


def parse_arguments(
    kwargs: Mapping[str, Any],
    modalities: Mapping[str, ModalityConfig],
    statistics: Mapping[str, EmbodimentStatistics],
    embodiment_ids: Mapping[str, int],
    place: str,
) -> ProcessorConfig:
    """Parse the flat arguments of processor_config.json; a missing one keeps its default."""
    plain = dict(kwargs)
    plain.pop("modality_configs", None)
    own = ("formalize_language", "max_state_dim", "max_action_dim", "max_action_horizon")
    try:
        image = ImageOptions(**_sizes(_take(plain, ImageOptions)))
        check_options(image)
        return ProcessorConfig(
            modalities,
            statistics,
            embodiment_ids,
            image=image,
            normalize=NormalizeOptions(**_take(plain, NormalizeOptions)),
            **{name: plain.pop(name) for name in own if name in plain},
            other=plain,
        )
    except (TypeError, ValueError) as error:
        raise ModalityError(f"{place}: {error}") from error


def processor_files(config: ProcessorConfig) -> dict[str, dict[str, Any]]:
    """Return the content of the three files: {file name: JSON object}."""
    kwargs = {
        "modality_configs": {
            tag: modality_config_json(modality) for tag, modality in config.modalities.items()
        },
        **dataclasses.asdict(config.image),
        **dataclasses.asdict(config.normalize),
        "formalize_language": config.formalize_language,
        "max_state_dim": config.max_state_dim,
        "max_action_dim": config.max_action_dim,
        "max_action_horizon": config.max_action_horizon,
        **config.other,
    }
    statistics = {tag: statistics_json(entry) for tag, entry in config.statistics.items()}
    return {
        PROCESSOR_FILE: {"processor_class": PROCESSOR_CLASS, "processor_kwargs": kwargs},
        STATISTICS_FILE: statistics,
        EMBODIMENT_FILE: dict(config.embodiment_ids),
    }


def save_processor_config(config: ProcessorConfig, folder: Path) -> None:
    """Write the three files into a folder."""
    for name, content in processor_files(config).items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _take(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Remove a dataclass's fields from `values`, and return them."""
    names = [entry.name for entry in dataclasses.fields(kind)]
    return {name: values.pop(name) for name in names if name in values}


def _sizes(values: dict[str, Any]) -> dict[str, Any]:
    """Convert JSON's size lists to tuples; one number stands for a square."""
    for name in ("image_target_size", "image_crop_size"):
        size = values.get(name)
        if isinstance(size, int):
            values[name] = (size, size)
        elif size is not None:
            values[name] = tuple(size)
    return values
