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

# what is trained, where the checkpoint's own weights are merged with adapters or averaged
TRAINED_FILE = "trained_weights.safetensors"
_AVERAGE = "average."  # before the names of averaged weights in that file
Weights = Mapping[str, Tensor]
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

    def write_trained(
        self, folder: Path, module: TrainingModule, now: Weights, averaged: Weights | None
    ) -> None:
        """Write what a resumed run needs beside the checkpoint's weights.

        now, averaged: the module's state dicts, gathered.
        """
        names = trained_names(module)
        if averaged is None and not has_adapters(names):
            return
        kept = {name: now[_PREFIX + name] for name in names}
        if averaged is not None:
            kept |= {_AVERAGE + name: averaged[_PREFIX + name] for name in names}
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in kept.items()}
        save_file(plain, folder / TRAINED_FILE)


def trained_names(module: TrainingModule) -> list[str]:
    """List the trained weights by the network's names."""
    return [name for name, weight in module.network.named_parameters() if weight.requires_grad]


def load_trained(module: TrainingModule, checkpoint: Path) -> None:
    """Load a checkpoint's trained weights into a module made from the same base.

    Raises TrainingError when one is missing.
    """
    names = set(trained_names(module))
    if (checkpoint / TRAINED_FILE).is_file():
        weights = _read_trained(checkpoint, names, "")
    else:
        weights = dict(read_weights(checkpoint, names))
    _check_whole(checkpoint, names, weights)
    parameters = dict(module.network.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)


def read_averages(module: TrainingModule, checkpoint: Path) -> dict[str, Tensor]:
    """Read a checkpoint's averaged weights by the module's names. Raises TrainingError."""
    names = set(trained_names(module))
    weights = _read_trained(checkpoint, names, _AVERAGE)
    _check_whole(checkpoint, names, weights)
    return {_PREFIX + name: weight for name, weight in weights.items()}


def _read_trained(checkpoint: Path, names: set[str], prefix: str) -> dict[str, Tensor]:
    with open_weights(checkpoint / TRAINED_FILE) as file:
        there = set(file.tensors)
        return {name: file.get_tensor(prefix + name) for name in names if prefix + name in there}


def _check_whole(checkpoint: Path, names: set[str], weights: Weights) -> None:
    missing = sorted(names - set(weights))
    if missing:
        raise TrainingError(f"{checkpoint} lacks trained weights: {', '.join(missing[:5])}")
