"""The small network as a checkpoint folder in the published layout."""

import shutil
import tempfile
from pathlib import Path

from handover_model.checkpoints import CheckpointMetadata, save_checkpoint
from handover_model.network import Gr00tNetwork
from handover_model.processing import UNITS, ProcessorConfig
from handover_proto import CAMERA

from handover_training.aloha_mini.random_network import zero_unused
from handover_training.aloha_mini.tokenizer import save_tokenizer, train_tokenizer

RATE_HZ = 20.0
FRAME_SIDE = 256


def write_mini(folder: Path, network: Gr00tNetwork, processor: ProcessorConfig) -> None:
    """Write a checkpoint; one that is there already is replaced."""
    notes = CheckpointMetadata(RATE_HZ, UNITS, {CAMERA: (FRAME_SIDE, FRAME_SIDE)})
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as tokenizer:
        save_tokenizer(train_tokenizer(), Path(tokenizer))
        save_checkpoint(
            folder,
            network,
            processor,
            metadata=notes,
            tokenizer=Path(tokenizer),
            unused=zero_unused(network.eagle),
        )
