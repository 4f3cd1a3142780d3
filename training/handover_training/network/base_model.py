"""Base checkpoint of a run: its network, and processors for the run's data.

The base brings the weights and the image and text options. Modality configs and statistics are the
run's own, stated for the embodiment tags that are trained and for no other: a base's statistics of
the same tag are of other robots' data, and never win unless asked for.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from handover_common import UsageError, resolve
from handover_model.checkpoints import WeightFiles, load_network
from handover_model.network import (
    EagleConfig,
    Gr00tNetwork,
    ModelConfig,
    build_empty,
    load_config,
    load_eagle,
)
from handover_model.processing import (
    EMBODIMENT_IDS,
    EmbodimentStatistics,
    ImageOptions,
    ModalityConfig,
    Processor,
    ProcessorConfig,
    find_tokenizer,
    load_processor_config,
    load_tokenizer,
    make_processor,
)
from torch import Tensor

from handover_training.errors import TrainingError
from handover_training.finetuning.config import FinetuneConfig
from handover_training.network.lora import has_adapters, merge_adapters
from handover_training.network.tuning import apply_tuning

logger = logging.getLogger(__name__)

# settings that replace the base's own; None leaves it
_CHOSEN = (
    *("tune_projector", "tune_diffusion_model", "tune_vlln", "tune_llm", "tune_visual"),
    *("tune_top_llm_layers", "state_dropout_prob"),
)


@dataclass(frozen=True)
class BaseModel:
    """The base checkpoint's files, with the run's settings."""

    folder: Path
    config: ModelConfig
    eagle: EagleConfig
    processor_config: ProcessorConfig
    processors: dict[str, Processor]
    """By embodiment tag"""
    tokenizer: Path
    """The folder of the tokenizer's files"""

    def load(self, *, mixed_precision: bool) -> Gr00tNetwork:
        """Load the network: trained weights in float32, and which are trained is set.

        mixed_precision: keep frozen weights in the type that they are stored in.
        """
        network = load_network(
            self.folder, self.config, self.eagle, device=torch.device("cpu"), dtype=None
        )
        self._check_trained(apply_tuning(network))
        for weight in network.parameters():
            if weight.requires_grad or not mixed_precision:
                weight.data = weight.data.float()
        return network

    def plain_network(self, network: torch.nn.Module, weights: dict[str, Tensor]) -> Gr00tNetwork:
        """Build the network to be saved: adapters merged, frozen weights in the base's types.

        network: the trained one; weights: its state dict, gathered if it was sharded.
        """
        if has_adapters(list(weights)):
            weights = merge_adapters(network, weights)
        plain = build_empty(self.config, self.eagle)
        trained, stored = set(apply_tuning(plain)), weight_types(self.folder)
        for name, weight in weights.items():
            if name not in trained and name in stored:
                weights[name] = weight.to(stored[name])  # exact: it came from there
        plain.load_state_dict(weights, assign=True)
        return plain

    def processor_settings(self) -> list[object]:
        """Return the processor's settings that are the base's own."""
        config = self.processor_config
        return [
            dataclasses.asdict(config.image),
            dataclasses.asdict(config.normalize),
            config.formalize_language,
            config.embodiment_ids,
        ]

    def _check_trained(self, trained: list[str]) -> None:
        if not trained:
            raise TrainingError("nothing would be trained: every --tune-… flag is off")


def read_base(
    settings: FinetuneConfig,
    modalities: Mapping[str, ModalityConfig],
    statistics: Mapping[str, EmbodimentStatistics],
) -> BaseModel:
    """Read the base checkpoint's settings and replace them with the run's.

    modalities, statistics: by embodiment tag.
    Raises CheckpointError, TokenizerError, or TrainingError when the data does not fit the sizes.
    """
    folder = resolve(settings.base_model_path)
    config = load_config(folder)
    eagle = load_eagle(folder, config.model_name)
    base = load_processor_config(folder)
    if settings.use_base_statistics:
        statistics = {tag: _base_statistics(base, tag) for tag in modalities}
    elif known := sorted(set(modalities) & set(base.statistics)):
        logger.info(
            "%s: normalized by the ranges of these datasets, not by those that the base "
            "checkpoint has learnt with; --use-base-statistics keeps them, for more episodes of "
            "the robot that it drives",
            ", ".join(known),
        )
    relative = any(modality.relative_keys() for modality in modalities.values())
    processor_config = dataclasses.replace(
        base,
        modalities=dict(modalities),
        statistics=dict(statistics),
        embodiment_ids={**base.embodiment_ids, **_slots(base, modalities, config)},
        image=_image_options(base.image, settings),
        normalize=dataclasses.replace(
            base.normalize, use_relative_action=base.normalize.use_relative_action or relative
        ),
    )
    folder_of_tokens = find_tokenizer(folder, settings.tokenizer)
    tokenizer = load_tokenizer(folder_of_tokens, eagle.image_token_index)
    processors = {
        tag: make_processor(processor_config, tokenizer, tag, eagle.pixels_per_token)
        for tag in modalities
    }
    for processor in processors.values():
        _check_sizes(processor, config)
        _check_delay(settings.max_delay_steps, processor.horizon)
    model_config = _model_config(config, settings)
    return BaseModel(folder, model_config, eagle, processor_config, processors, folder_of_tokens)


def weight_types(folder: Path) -> dict[str, torch.dtype]:
    """Return the types that a checkpoint's weights are stored in."""
    with WeightFiles(folder) as files:
        return {key: stored.dtype for key, stored in files.stored.items()}


def _model_config(config: ModelConfig, settings: FinetuneConfig) -> ModelConfig:
    chosen = {name: getattr(settings, name) for name in _CHOSEN}
    return dataclasses.replace(config, **{k: v for k, v in chosen.items() if v is not None})


def _image_options(base: ImageOptions, settings: FinetuneConfig) -> ImageOptions:
    return dataclasses.replace(
        base,
        color_jitter_params=dict(settings.color_jitter_params or {}) or None,
        random_rotation_angle=settings.random_rotation_angle,
    )


def _slots(base: ProcessorConfig, tags: Iterable[str], config: ModelConfig) -> dict[str, int]:
    """Return the tags' slots in the network; from the last one down where it has too few."""
    ids = {**EMBODIMENT_IDS, **base.embodiment_ids}
    slots: dict[str, int] = {}
    for tag in tags:
        if tag not in ids:
            raise TrainingError(
                f"--embodiment-tag {tag}: the base checkpoint has no slot for it; it has "
                f"{', '.join(sorted(ids))}; your own robot takes new_embodiment"
            )
        slot = min(ids[tag], config.max_num_embodiments - 1)
        free = [one for one in range(slot, -1, -1) if one not in slots.values()]
        if not free:
            raise TrainingError(
                f"the base checkpoint's slots for embodiments: {config.max_num_embodiments}, "
                f"expected one for each of {', '.join(tags)} (--embodiment-tag)"
            )
        slots[tag] = free[0]
    return slots


def _base_statistics(base: ProcessorConfig, tag: str) -> EmbodimentStatistics:
    if tag not in base.statistics:
        raise TrainingError(
            f"--use-base-statistics: the base checkpoint has none for {tag!r}; it has "
            f"{', '.join(sorted(base.statistics)) or 'none'}"
        )
    return base.statistics[tag]


def _check_delay(most: int, horizon: int) -> None:
    if most >= horizon:
        raise UsageError(
            f"--max-delay-steps {most}: expected fewer than the chunk's {horizon} steps, of which "
            "some have to be learnt"
        )


def _check_sizes(processor: Processor, config: ModelConfig) -> None:
    codec = processor.codec
    state = sum(codec.state_dim(key) for key in codec.modality.state.keys)
    action = sum(codec.action_dim(key) for key in codec.modality.action.keys)
    wanted = {
        "max_state_dim": (state, config.max_state_dim),
        "max_action_dim": (action, config.max_action_dim),
        "action_horizon": (codec.modality.action.steps, config.action_horizon),
    }
    for name, (needed, room) in wanted.items():
        if needed > room:
            raise TrainingError(
                f"the modality config needs {name} {needed}, the base checkpoint has {room}; "
                "use a larger base, or fewer groups (--modality-config-path)"
            )
