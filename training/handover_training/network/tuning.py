"""Selection of the weights that finetuning trains, by the model configuration's flags."""

from collections.abc import Iterator

import torch
from handover_model.network import Gr00tNetwork, ModelConfig
from torch import Tensor, nn


def apply_tuning(network: Gr00tNetwork, config: ModelConfig | None = None) -> list[str]:
    """Set requires_grad on every weight by the tune_* flags; returns the trained ones' names.

    The last `tune_top_llm_layers` kept language layers are trained whatever `tune_llm` says.
    """
    flags = config or network.config
    trained = [name for name, _ in network.named_parameters() if _is_trained(name, flags)]
    chosen = set(trained)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in chosen)
    return trained


def train_mode(network: Gr00tNetwork) -> None:
    """Put trained parts into training mode (dropout on) and frozen ones into evaluation mode."""
    network.eval()
    for module in _leaves_of_trained(network):
        module.train()


def frozen_depth(flags: ModelConfig) -> int | None:
    """Count the language layers below the first trained one; None where tower or text is trained.

    What lies below them never changes in a run, so it can be computed once.
    """
    if flags.tune_visual or flags.tune_llm:
        return None
    return _first_top_layer(flags)


@torch.no_grad()
def close_inputs(network: Gr00tNetwork, embodiment: int, open_slots: Tensor) -> None:
    """Disconnect an embodiment's untrained action slots from the head.

    open_slots: (max_action_dim,) bool. They are left out of the loss, so nothing would teach the
    network to disregard the noise in them.
    """
    network.action_head.action_encoder.W1.W[embodiment, ~open_slots] = 0


def _is_trained(name: str, flags: ModelConfig) -> bool:
    owner, _, rest = name.partition(".")
    part = rest.split(".")[0]
    if owner == "action_head":
        if part == "model":
            return flags.tune_diffusion_model
        return flags.tune_vlln if part == "vlln" else flags.tune_projector
    if rest.startswith("model.language_model."):
        return flags.tune_llm or _language_layer(rest) >= _first_top_layer(flags)
    return flags.tune_visual


def _first_top_layer(flags: ModelConfig) -> int:
    return max(0, flags.select_layer - flags.tune_top_llm_layers)


def _language_layer(name: str) -> int:
    """Read a language layer's number out of a weight's name; -1 for a weight outside the layers."""
    _, found, rest = name.partition(".layers.")
    return int(rest.split(".")[0]) if found else -1


def _leaves_of_trained(network: Gr00tNetwork) -> Iterator[nn.Module]:
    """Go through the modules with trained weights, and the dropouts beside them."""
    for name, module in network.named_modules():
        weights = list(module.parameters(recurse=False))
        if any(weight.requires_grad for weight in weights):
            yield module
        elif not weights and not list(module.children()):
            owner = network.get_submodule(name.rpartition(".")[0])
            if any(weight.requires_grad for weight in owner.parameters()):
                yield module
