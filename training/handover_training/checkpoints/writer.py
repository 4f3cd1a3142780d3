"""Writing of a run's checkpoints, and reading of their trained weights."""

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
_PREFIX = "network."  # of the training module's weights, before the network's own names


@dataclass(frozen=True)
class CheckpointWriter:
    """Writes the trained policy in NVIDIA's layout."""

    base: BaseModel
    record: RunRecord

    def write(
        self,
        folder: Path,
        module: TrainingModule,
        weights: Mapping[str, Tensor],
        progress: Mapping[str, Any],
    ) -> None:
        """Write everything that serving needs.

        weights: the module's state dict, gathered if it is divided among processes.
        """
        own = {name.removeprefix(_PREFIX): weight for name, weight in weights.items()}
        plain = self.base.plain_network(module.network, dict(own))
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
                name: own[name].detach().cpu().contiguous() for name in trained_names(module)
            }
            save_file(trained, folder / ADAPTER_FILE)


def trained_names(module: TrainingModule) -> list[str]:
    """List the trained weights by the network's names."""
    return [name for name, weight in module.network.named_parameters() if weight.requires_grad]


def load_trained(module: TrainingModule, checkpoint: Path) -> None:
    """Load a checkpoint's trained weights into a module made from the same base.

    Raises TrainingError when one is missing.
    """
    names = set(trained_names(module))
    if (checkpoint / ADAPTER_FILE).is_file():
        with open_weights(checkpoint / ADAPTER_FILE) as file:
            weights = {name: file.get_tensor(name) for name in names.intersection(file.tensors)}
    else:
        weights = dict(read_weights(checkpoint, names))
    missing = sorted(names - set(weights))
    if missing:
        raise TrainingError(f"{checkpoint} lacks trained weights: {', '.join(missing[:5])}")
    parameters = dict(module.network.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
