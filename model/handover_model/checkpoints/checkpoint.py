"""Checkpoint folders in NVIDIA's published layout: load and save.

Weights are only safetensors; nothing is unpickled and no code of a checkpoint is run.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from handover_common import resolve
from torch import Tensor, nn

from handover_model.checkpoints.hashes import HASH_CHARS, settings_hash
from handover_model.checkpoints.metadata import CheckpointMetadata, load_metadata, save_metadata
from handover_model.checkpoints.weights import (
    SHARD_BYTES,
    WeightFiles,
    load_weights,
    read_weights,
    save_weights,
)
from handover_model.errors import CheckpointError
from handover_model.network.action_head import MASK_TOKEN_SCALE
from handover_model.network.config import CONFIG_FILE, ModelConfig, load_config
from handover_model.network.eagle_config import EAGLE_FILES, EagleConfig, load_eagle
from handover_model.network.groot import Gr00tNetwork, build_empty, check_layers, unused_shapes
from handover_model.processing.processor import Processor, make_processor
from handover_model.processing.processor_config import (
    ProcessorConfig,
    load_processor_config,
    processor_files,
    save_processor_config,
)
from handover_model.processing.tokenizer import copy_tokenizer, find_tokenizer, load_tokenizer

MASK_TOKEN = "action_head.mask_token"
HASH_CACHE = Path(".cache", "handover", "weight-hashes")  # in the user's home


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory."""

    name: str
    """Its name on the Hub, or its folder's name"""
    folder: Path
    network: Gr00tNetwork
    processor_config: ProcessorConfig
    metadata: CheckpointMetadata
    tokenizer: Path | None
    """The folder that the user chose for the tokenizer, if any"""
    weights_hash: str
    """Of the weight files' bytes as they were loaded"""

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self.network.config

    def processor(self, tag: str | None = None) -> Processor:
        """Make the processor of an embodiment; see choose_tag for None."""
        folder = find_tokenizer(self.folder, self.tokenizer)
        eagle = self.network.eagle
        tokenizer = load_tokenizer(folder, eagle.image_token_index)
        chosen = choose_tag(self.processor_config, tag)
        processor = make_processor(self.processor_config, tokenizer, chosen, eagle.pixels_per_token)
        _check_widths(self.config, processor)
        return processor

    def processor_hash(self, processor: Processor) -> str:
        """Return the hash of everything but the network that decides a processor's answers.

        The statistics and settings, the embodiment, the tokenizer, and handover.json's rate, units,
        sizes and learnt delay; all as they were loaded.
        """
        meaning = dataclasses.asdict(self.metadata)
        for what_is_told in ("training", "latency_envelopes"):
            del meaning[what_is_told]
        return settings_hash(
            processor_files(self.processor_config),
            processor.tag,
            processor.tokenizer.content(),
            meaning,
        )

    def hash(self, processor: Processor) -> str:
        """Return the hash of everything that decides an answer: weights, network and processor."""
        network = self.network
        return settings_hash(
            self.weights_hash,
            network.config.to_json(),
            network.eagle.to_json(),
            self.processor_hash(processor),
        )


def load_checkpoint(
    name_or_dir: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    tokenizer: Path | None = None,
) -> Checkpoint:
    """Load a checkpoint from a folder or the Hub, strictly, ready for inference.

    dtype: of the loaded weights; None keeps each as it is stored. Raises CheckpointError when any
    file, key or shape is not as expected.
    """
    folder = resolve(name_or_dir)
    config = load_config(folder)
    eagle = load_eagle(folder, config.model_name)
    processor_config = load_processor_config(folder)
    network, digest = _load_network(folder, config, eagle, torch.device(device), dtype)
    name = folder.resolve().name if Path(name_or_dir).is_dir() else str(name_or_dir)
    metadata = load_metadata(folder)
    return Checkpoint(name, folder, network, processor_config, metadata, tokenizer, digest)


def load_network(
    folder: Path,
    config: ModelConfig,
    eagle: EagleConfig,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Gr00tNetwork:
    """Build a network with a folder's weights; it takes no more memory than they do."""
    return _load_network(folder, config, eagle, device, dtype)[0]


def _load_network(
    folder: Path,
    config: ModelConfig,
    eagle: EagleConfig,
    device: torch.device,
    dtype: torch.dtype | None,
) -> tuple[Gr00tNetwork, str]:
    """Return the network, and the hash of the weights in it."""
    with WeightFiles(folder) as files:
        check_layers(config, eagle, files.shapes, folder)
        network = build_empty(config, eagle)
        digest = _fill(network, files, device, dtype)
    network.backbone.model.language_model.make_frequencies(device)
    return network.eval(), digest[:HASH_CHARS]


def _fill(
    network: Gr00tNetwork, files: WeightFiles, device: torch.device, dtype: torch.dtype | None
) -> str:
    """Put the weights into an empty network; a mask token that the files lack is drawn."""
    config = network.config
    mask_shape = (1, 1, config.input_embedding_dim)
    digest = load_weights(
        network,
        files,
        device=device,
        dtype=dtype,
        ignored={**unused_shapes(network.eagle), MASK_TOKEN: mask_shape},
        optional=frozenset({MASK_TOKEN}),
    )
    head = network.action_head
    if config.state_dropout_prob > 0 and head.mask_token.is_meta:
        fresh = MASK_TOKEN_SCALE * torch.randn(mask_shape, device=device, dtype=head.dtype)
        head.mask_token = nn.Parameter(fresh)
    return digest


def save_checkpoint(
    folder: Path,
    network: Gr00tNetwork,
    processor_config: ProcessorConfig,
    *,
    metadata: CheckpointMetadata | None = None,
    tokenizer: Path | None = None,
    unused: Mapping[str, Tensor] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint folder in the published layout, atomically.

    tokenizer: a folder whose tokenizer files are copied into the checkpoint. unused: the weights
    that no computation reads (see read_unused), so that other loaders of the layout find every key.
    Raises CheckpointError when the folder exists already.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} exists already; choose another folder or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    save_weights(fresh, {**network.state_dict(), **(unused or {})}, shard_bytes)
    _write_json(fresh / CONFIG_FILE, network.config.to_json())
    if network.eagle != EagleConfig():
        _write_json(fresh / EAGLE_FILES[0], network.eagle.to_json())
    save_processor_config(processor_config, fresh)
    save_metadata(metadata or CheckpointMetadata(), fresh)
    if tokenizer is not None:
        copy_tokenizer(tokenizer, fresh)
    fresh.rename(folder)


def read_unused(folder: Path, eagle: EagleConfig) -> dict[str, Tensor]:
    """Read the weights of a base checkpoint that no computation reads, to pass them on."""
    return dict(read_weights(folder, set(unused_shapes(eagle))))


def choose_tag(config: ProcessorConfig, tag: str | None) -> str:
    """Return the embodiment: the given one, or the only one with all the parts it needs.

    Raises CheckpointError listing the embodiments if it is unknown or ambiguous.
    """
    usable = sorted(set(config.modalities) & set(config.statistics) & set(config.embodiment_ids))
    if tag is None:
        if len(usable) == 1:
            return usable[0]
        raise CheckpointError(
            f"the checkpoint has {len(usable)} embodiments, choose one with --embodiment-tag: "
            f"{_listed(usable)}"
        )
    if tag not in usable:
        raise CheckpointError(
            f"the checkpoint cannot serve the embodiment {tag!r}; it has modality configuration, "
            f"statistics and slot for: {_listed(usable)}"
        )
    return tag


def _check_widths(config: ModelConfig, processor: Processor) -> None:
    """Compare the widths to which the processor pads with those that the network reads."""
    pairs = {
        "max_state_dim": (processor.config.max_state_dim, config.max_state_dim),
        "max_action_dim": (processor.config.max_action_dim, config.max_action_dim),
        "action horizon": (processor.config.max_action_horizon, config.action_horizon),
    }
    for name, (padded, read) in pairs.items():
        if padded != read:
            raise CheckpointError(
                f"processor_config.json has {name} {padded}, but config.json has {read}; "
                "they must be equal"
            )
    if processor.config.embodiment_ids[processor.tag] >= config.max_num_embodiments:
        raise CheckpointError(
            f"embodiment {processor.tag!r} has slot "
            f"{processor.config.embodiment_ids[processor.tag]}, but the network has "
            f"{config.max_num_embodiments} slots"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
