"""LoRA: two thin trained matrices beside each large frozen one, merged in checkpoints.

The projector and VLLN stay fully trained where they are tuned at all: they are small, and the
layers of one embodiment each are not linear layers that adapters know.
"""

import re

import torch
from handover_model import CheckpointError
from handover_model.network import Gr00tNetwork
from torch import Tensor, nn

ADAPTED_PARTS = ("action_head.model.", "backbone.")
_ADAPTER = re.compile(r"\.lora_[AB]\.")
_BASE = ".base_layer."


def add_adapters(network: Gr00tNetwork, rank: int) -> list[str]:
    """Put adapters beside the trained linear layers; returns the names of the layers.

    Of the transformer and the backbone only the adapters are trained then.
    """
    # peft takes seconds to import, and few runs need it
    from peft import LoraConfig, inject_adapter_in_model

    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith(ADAPTED_PARTS)
        and module.weight.requires_grad
    ]
    if not layers:
        raise CheckpointError(
            "--lora-rank: no linear layer of the diffusion model or the backbone is trained; "
            "tune one of them (--tune-diffusion-model, --tune-llm, --tune-visual)"
        )
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers, bias="none")
    inject_adapter_in_model(config, network)
    whole = {name for name in trained if not name.startswith(ADAPTED_PARTS)}
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in whole or _ADAPTER.search(name) is not None)
    return layers


def has_adapters(names: list[str]) -> bool:
    """Return whether weights of these names belong to a network with adapters."""
    return any(_ADAPTER.search(name) for name in names)


def merge_adapters(network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge adapters into their layers: a state dict in, the plain network's out, float32 sums."""
    merged = {
        name.replace(_BASE, "."): weight
        for name, weight in weights.items()
        if not _ADAPTER.search(name)
    }
    for name, module in network.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        down, up = (
            weights[f"{name}.lora_A.default.weight"],
            weights[f"{name}.lora_B.default.weight"],
        )
        scale = float(module.scaling["default"])  # pyright: ignore[reportIndexIssue, reportArgumentType]
        change = scale * (up.float() @ down.float())
        base = merged[f"{name}.weight"]
        merged[f"{name}.weight"] = (base.float() + change).to(torch.float32)
    return merged
