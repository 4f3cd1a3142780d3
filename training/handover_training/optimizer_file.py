"""The optimiser's state on disk without pickles: tensors as safetensors, settings as JSON.

Every number comes back bit for bit: tensors as they are, Python floats by their shortest decimals.
"""

import json
from pathlib import Path
from typing import Any

from handover_model.weights import open_weights
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

TENSORS_FILE = "optimizer.safetensors"
SETTINGS_FILE = "optimizer.json"


def save_optimizer(folder: Path, optimizer: Optimizer, schedule: LRScheduler) -> None:
    """Write the optimiser's and the schedule's state into a folder."""
    state = optimizer.state_dict()
    tensors = {
        f"{number}.{name}": value.detach().to("cpu").contiguous()
        for number, entry in state["state"].items()
        for name, value in entry.items()
    }
    save_file(tensors, folder / TENSORS_FILE)
    settings = {"groups": state["param_groups"], "schedule": schedule.state_dict()}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def load_optimizer(folder: Path, optimizer: Optimizer, schedule: LRScheduler) -> None:
    """Read back what save_optimizer wrote."""
    settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    state: dict[int, dict[str, Tensor]] = {}
    with open_weights(folder / TENSORS_FILE) as file:
        for key in file.keys():  # noqa: SIM118
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = file.get_tensor(key)
    groups = [_tuples(group) for group in settings["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    schedule.load_state_dict(settings["schedule"])


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples: AdamW's betas are one."""
    return {**group, "betas": tuple(group["betas"])} if "betas" in group else group
