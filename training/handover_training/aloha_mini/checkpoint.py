"""Checkpoints of small networks, in the published layout, and backbones read from them."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from handover_model.checkpoints import (
    CheckpointMetadata,
    dataset_metadata,
    open_weights,
    random_weights_card,
    save_checkpoint,
    write_card,
)
from handover_model.network import Gr00tNetwork
from handover_model.processing import (
    UNITS,
    ProcessorConfig,
    aloha_processor,
    dataset_statistics,
    in_slot,
)
from handover_proto import CAMERA, POLICY_RATE_HZ
from tokenizers import Tokenizer

from handover_training.aloha_mini.data.snapshots import FRAME_SIDE
from handover_training.aloha_mini.network import RANDOM, WIDTH, draw_network, zero_unused
from handover_training.aloha_mini.tokenizer import save_tokenizer, train_tokenizer
from handover_training.errors import TrainingError


def write_mini(folder: Path, network: Gr00tNetwork, processor: ProcessorConfig) -> None:
    """Write a checkpoint of the network that ships; an existing one is replaced."""
    notes = CheckpointMetadata(POLICY_RATE_HZ, UNITS, {CAMERA: (FRAME_SIDE, FRAME_SIDE)})
    shutil.rmtree(folder, ignore_errors=True)
    _save(folder, network, processor, notes, train_tokenizer())


def write_random(dataset: Path, output: Path, seed: int = 0) -> Path:
    """Write a checkpoint with random weights and a dataset's statistics, for any machine to run."""
    statistics = dataset_statistics(dataset)
    processor = aloha_processor(statistics, max_state_dim=WIDTH, max_action_dim=WIDTH)
    processor = in_slot(processor, 0)
    tokenizer = train_tokenizer()
    network = draw_network(RANDOM, seed, tokenizer, processor.max_action_horizon)
    _save(output, network, processor, dataset_metadata(dataset), tokenizer)
    weights = sum(weight.numel() for weight in network.parameters())
    name = output.resolve().name
    write_card(output, random_weights_card(name, network.config, processor, weights, seed))
    return output


def _save(
    folder: Path,
    network: Gr00tNetwork,
    processor: ProcessorConfig,
    notes: CheckpointMetadata,
    tokenizer: Tokenizer,
) -> None:
    with TemporaryDirectory() as files:
        save_tokenizer(tokenizer, Path(files))
        save_checkpoint(
            folder,
            network,
            processor,
            metadata=notes,
            tokenizer=Path(files),
            unused=zero_unused(network.eagle),
        )


def put_backbone(network: Gr00tNetwork, path: Path) -> None:
    """Put in a backbone: the vision stage's file, or a checkpoint's. Raises TrainingError."""
    file_path = path / "model.safetensors" if path.is_dir() else path
    made_with = "make it with python -m handover_training.aloha_mini vision"
    if not file_path.is_file():
        raise TrainingError(f"{file_path} is not a file; {made_with}")
    wanted = {name for name in network.state_dict() if name.startswith("backbone.")}
    with open_weights(file_path) as file:
        lacking = sorted(wanted.difference(file.tensors))
        if lacking:
            raise TrainingError(
                f"{file_path} is not the backbone of this network: it lacks {lacking[:3]}; "
                f"{made_with}"
            )
        weights = {name: file.get_tensor(name) for name in wanted}
    network.load_state_dict(weights, strict=False)
