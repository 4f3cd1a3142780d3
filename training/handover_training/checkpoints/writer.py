"""Writes a run's checkpoints and reads their trained weights back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from handover_model.checkpoints import open_weights, read_unused, read_weights, save_checkpoint
from safetensors.torch import save_file
from torch import Tensor

from handover_training.checkpoints.record import RunRecord
from handover_training.errors import TrainingError
from handover_training.network.base_model import BaseModel
from handover_training.network.lora import has_adapters
from handover_training.network.training_module import TrainingModule

ADAPTER_FILE = "adapters.safetensors"  # what is trained of a network with adapters, unmerged
_PREFIX = "network."  # of a learner's weights before the network's own names


@dataclass(frozen=True)
class CheckpointWriter:
    """Writes the policy that a learner has become, in NVIDIA's layout."""

    base: BaseModel
    record: RunRecord

    def write(
        self,
        folder: Path,
        learner: TrainingModule,
        weights: Mapping[str, Tensor],
        progress: Mapping[str, Any],
    ) -> None:
        """Write everything that serving needs.

        weights: the learner's state dict, gathered if it is divided among processes.
        """
        own = {name.removeprefix(_PREFIX): weight for name, weight in weights.items()}
        plain = self.base.plain_network(learner.network, dict(own))
        save_checkpoint(
            folder,
            plain,
            self.base.processor_config,
            metadata=self.record.notes(),
            tokenizer=self.base.tokenizer,
            unused=read_unused(self.base.folder, self.base.eagle),
        )
        self.record.write(folder, progress)
        if has_adapters(list(own)):
            trained = {
                name: own[name].detach().cpu().contiguous() for name in trained_names(learner)
            }
            save_file(trained, folder / ADAPTER_FILE)


def trained_names(learner: TrainingModule) -> list[str]:
    """Name the trained weights as the network does."""
    return [name for name, weight in learner.network.named_parameters() if weight.requires_grad]


def load_trained(learner: TrainingModule, checkpoint: Path) -> None:
    """Read the trained weights of a checkpoint into a learner made from the same base.

    Raises TrainingError when one is missing.
    """
    names = set(trained_names(learner))
    if (checkpoint / ADAPTER_FILE).is_file():
        with open_weights(checkpoint / ADAPTER_FILE) as file:
            weights = {name: file.get_tensor(name) for name in names.intersection(file.keys())}
    else:
        weights = dict(read_weights(checkpoint, names))
    missing = sorted(names - set(weights))
    if missing:
        raise TrainingError(f"{checkpoint} lacks trained weights: {', '.join(missing[:5])}")
    parameters = dict(learner.network.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
