"""Loop and state on disk (safetensors) of the vision stage."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from handover_common import ProgressBar, atomic_path
from handover_model.checkpoints import open_weights
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from handover_training.network.averages import AveragedWeights, put_weights

_NOW, _AVERAGE, _MOMENT = "now.", "average.", "optimizer."


class Stage(Protocol):
    """A training that goes step by step, and continues where an interrupted run stopped."""

    @property
    def steps(self) -> int:
        """Steps taken so far, those of earlier runs included."""
        ...

    def step(self, rate_share: float) -> None:
        """Take a step at a share of the peak learning rate."""
        ...

    def describe(self) -> str:
        """Measure on held-out episodes."""
        ...

    def save(self) -> None:
        """Write what a later run needs to continue."""
        ...


def run_stage(
    stage: Stage,
    total: int,
    *,
    every: int,
    what: str,
    report: Callable[[str], None],
) -> None:
    """Train until `total` steps are taken; every so many, and at the end, measure and save."""
    with ProgressBar(what, total, "steps", done=stage.steps) as bar:
        while stage.steps < total:
            stage.step(schedule(stage.steps / total))
            bar.show(done=stage.steps)
            if stage.steps % every == 0 or stage.steps == total:
                stage.save()
                report(stage.describe())


def schedule(share: float) -> float:
    """Return the learning rate's share of its peak: a short rise, then half a cosine to 2 %."""
    rise = 0.03
    if share < rise:
        return max(share / rise, 0.01)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - rise) / (1 - rise))))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: dict[str, str]) -> None:
    """Write a file of tensors; it is there whole or not at all."""
    with atomic_path(path) as partial:
        save_file({key: value.detach().clone() for key, value in tensors.items()}, partial, notes)


def save_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: Optimizer
) -> None:
    """Write weights, averages and the optimizer's moments."""
    tensors = {f"{_NOW}{name}": value for name, value in module.named_parameters()}
    tensors |= {f"{_AVERAGE}{name}": value for name, value in average.weights.items()}
    for number, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"{_MOMENT}{number}.{name}": value for name, value in entry.items()}
    save_tensors(path, tensors, {"steps": str(average.steps)})


def load_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: Optimizer
) -> None:
    """Read back what save_state wrote, if it exists."""
    if not path.exists():
        return
    weights: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    with open_weights(path) as file:
        notes = file.metadata
        for key in file.tensors:
            kind, _, name = key.partition(".")
            if kind == "now":
                weights[name] = file.get_tensor(key)
            elif kind == "average":
                average.weights[name] = file.get_tensor(key)
            else:
                number, _, moment = name.partition(".")
                moments.setdefault(int(number), {})[moment] = file.get_tensor(key)
    put_weights(module, weights)
    average.steps = int(notes["steps"])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
