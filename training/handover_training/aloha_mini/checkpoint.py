"""Checkpoints of small networks: written in the published layout, and a head stage's start."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from handover_model.checkpoints import (
    CheckpointMetadata,
    dataset_metadata,
    load_checkpoint,
    open_weights,
    random_weights_card,
    save_checkpoint,
    write_card,
)
from handover_model.network import Gr00tNetwork
from handover_model.processing import (
    TAG,
    UNITS,
    EmbodimentStatistics,
    ProcessorConfig,
    aloha_processor,
    dataset_statistics,
    in_slot,
)
from handover_proto import CAMERA, POLICY_RATE_HZ
from tokenizers import Tokenizer

from handover_training.aloha_mini.configs import HeadConfig
from handover_training.aloha_mini.data.snapshots import FRAME_SIDE
from handover_training.aloha_mini.network import RANDOM, SHIPPED, WIDTH, draw_network, zero_unused
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


@dataclass(frozen=True)
class HeadStart:
    """What the head stage starts from: a network whose backbone is frozen."""

    network: Gr00tNetwork
    statistics: EmbodimentStatistics | None
    """What its head's states and actions are normalized with; None for a new head"""


def open_start(config: HeadConfig) -> HeadStart:
    """Open the vision stage's backbone or a checkpoint. Raises TrainingError, CheckpointError."""
    if (config.backbone is None) == (config.start is None):
        raise TrainingError(
            "expected either --backbone (a new head) or --start (a checkpoint's head), got "
            f"{'neither' if config.start is None else 'both'}"
        )
    if config.backbone is not None:
        start = HeadStart(_with_backbone(config.backbone, config.seed), None)
    else:
        assert config.start is not None
        start = _from_checkpoint(config.start)
    start.network.backbone.requires_grad_(False)
    return start


def _with_backbone(path: Path, seed: int) -> Gr00tNetwork:
    """Draw the network and put in the backbone of the vision stage."""
    made_with = "make it with python -m handover_training.aloha_mini vision (--backbone)"
    if not path.is_file():
        raise TrainingError(f"{path} is not a file; {made_with}")
    network = draw_network(SHIPPED, seed)
    with open_weights(path) as file:
        weights = {name: file.get_tensor(name) for name in file.tensors}
    missing, unknown = network.load_state_dict(weights, strict=False)
    lacking = [name for name in missing if not name.startswith("action_head.")]
    if lacking or unknown:
        raise TrainingError(
            f"{path} is not the backbone of this network: it lacks {lacking[:3]} and has "
            f"{unknown[:3]}; {made_with}"
        )
    return network.eval()


def _from_checkpoint(folder: Path) -> HeadStart:
    """Load a checkpoint written by the head stage or the release."""
    checkpoint = load_checkpoint(folder)
    if _shapes(checkpoint.network) != _shapes(draw_network(SHIPPED, seed=0)):
        raise TrainingError(
            f"{folder} is not a checkpoint of the small network that this recipe trains (--start); "
            "finetune others with handover finetune"
        )
    return HeadStart(checkpoint.network, checkpoint.processor_config.statistics[TAG])


def _shapes(network: Gr00tNetwork) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
