"""A stage's state on disk: weights, their averages and the optimiser's moments, as safetensors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from handover_model.checkpoints import open_weights
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from handover_training.aloha_mini.averaged_weights import AveragedWeights, put_back

NOW, AVERAGE, MOMENT = "now.", "average.", "optimizer."


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: dict[str, str]) -> None:
    """Write a file of tensors; it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.detach().clone() for key, value in tensors.items()}, partial, notes)
    partial.replace(path)


def save_state(
    path: Path,
    module: nn.Module,
    average: AveragedWeights,
    optimizer: Optimizer,
) -> None:
    """Write what a stage needs to go on."""
    tensors = {f"{NOW}{name}": value for name, value in module.named_parameters()}
    tensors |= {f"{AVERAGE}{name}": value for name, value in average.weights.items()}
    for number, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"{MOMENT}{number}.{name}": value for name, value in entry.items()}
    save_tensors(path, tensors, {"steps": str(average.steps)})


def load_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: Optimizer
) -> None:
    """Read back what save_state wrote, if it is there."""
    if not path.exists():
        return
    weights: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    with open_weights(path) as file:
        notes = file.metadata()
        for key in file.keys():  # noqa: SIM118
            kind, _, name = key.partition(".")
            if kind == "now":
                weights[name] = file.get_tensor(key)
            elif kind == "average":
                average.weights[name] = file.get_tensor(key)
            else:
                number, _, moment = name.partition(".")
                moments.setdefault(int(number), {})[moment] = file.get_tensor(key)
    put_back(module, weights)
    average.steps = int(notes["steps"])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


@contextmanager
def averaged(module: nn.Module, average: AveragedWeights) -> Iterator[None]:
    """Use a module with its averaged weights for a while."""
    before = average.put_into(module)
    try:
        yield
    finally:
        put_back(module, before)
