"""Plan of a run: everything that is known before its network is loaded."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import UsageError
from handover_model.checkpoints import HASH_CACHE, weights_hash
from handover_model.processing import TAG, TOKENIZER_FILES, ModalityConfig, aloha_modality
from handover_proto import CHUNK_STEPS
from transformers.training_args import TrainingArguments

from handover_training.data.episodes import DatasetSplit, Embodiment, open_sources
from handover_training.data.normalization import dataset_statistics
from handover_training.finetuning.arguments import run_identity, training_arguments
from handover_training.finetuning.config import FinetuneConfig
from handover_training.finetuning.modality_config import read_modality_file
from handover_training.network.base_model import BaseModel, read_base


@dataclass(frozen=True)
class RunPlan:
    """A run's settings, datasets and base checkpoint, checked against each other."""

    settings: FinetuneConfig
    arguments: TrainingArguments
    sources: list[DatasetSplit]
    base: BaseModel
    identity: dict[str, Any]


def make_plan(settings: FinetuneConfig) -> RunPlan:
    """Read the datasets and the base checkpoint's settings, and check that they fit together."""
    embodiments = _embodiments(settings)
    sources = open_sources(settings.dataset_path, embodiments, settings.val_episodes, settings.seed)
    evaluates = any(source.held_out_episodes for source in sources)
    arguments = training_arguments(settings, evaluates=evaluates)
    modalities = {one.tag: one.modality for one in embodiments}
    statistics = {
        tag: dataset_statistics(
            [source for source in sources if source.embodiment.tag == tag], settings.cache_dir
        )
        for tag in modalities
    }
    base = read_base(settings, modalities, statistics)
    _check_kept(settings, base)
    identity = run_identity(settings, sources, _base_identity(base))
    return RunPlan(settings, arguments, sources, base, identity)


def _base_identity(base: BaseModel) -> dict[str, str]:
    """Return hashes of all that a base checkpoint brings to a run."""
    tokenizer = hashlib.sha256()
    for path in sorted(base.tokenizer / name for name in TOKENIZER_FILES):
        if path.is_file():
            tokenizer.update(path.name.encode() + path.read_bytes())
    config = json.dumps(
        [base.config.to_json(), dataclasses.asdict(base.eagle), base.processor_settings()],
        default=str,
    )
    return {
        "base_weights": weights_hash(base.folder, Path.home() / HASH_CACHE),
        "base_config": hashlib.sha256(config.encode()).hexdigest(),
        "tokenizer": tokenizer.hexdigest(),
    }


def _embodiments(settings: FinetuneConfig) -> list[Embodiment]:
    """Return the embodiment of each dataset. Raises UsageError."""
    tags = settings.tags()
    files = settings.modality_files()
    modalities = {tag: _modality(tag, files.get(tag)) for tag in dict.fromkeys(tags)}
    steps = {modality.state.steps for modality in modalities.values()}
    if len(steps) > 1:
        raise UsageError(
            f"the embodiments' states have {sorted(steps)} steps, expected one number for all "
            "(delta_indices of state, --modality-config-path)"
        )
    return [Embodiment(tag, modalities[tag]) for tag in tags]


def _modality(tag: str, path: Path | None) -> ModalityConfig:
    if path is None:
        if tag != TAG:
            raise UsageError(
                f"--modality-config-path: expected the file for {tag}; only GR1 has a default, "
                "ALOHA's"
            )
        return aloha_modality(CHUNK_STEPS)
    modality = read_modality_file(path, tag)
    deltas = modality.action.delta_indices
    if not deltas or deltas[0] < 0 or deltas != tuple(range(deltas[0], deltas[-1] + 1)):
        raise UsageError(
            f"{path}: action delta_indices are {list(deltas)}, expected consecutive steps, from 0 "
            "(the observation's own) or a later one on"
        )
    return modality


def _check_kept(settings: FinetuneConfig, base: BaseModel) -> None:
    output = settings.output_dir.resolve()
    for path in (base.folder, base.tokenizer):
        if settings.overwrite and path.resolve().is_relative_to(output):
            raise UsageError(
                f"--overwrite would remove {path}, from which this run starts; choose another "
                "folder (--output-dir)"
            )
