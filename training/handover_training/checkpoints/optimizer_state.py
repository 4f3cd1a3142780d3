"""Optimizer state on disk without pickles: tensors as safetensors, settings as JSON.

Every number comes back bit for bit: tensors as they are, Python floats by their shortest decimals.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handover_model.checkpoints import open_weights
from safetensors.torch import save_file
from torch import Tensor

TENSORS_FILE = "optimizer.safetensors"
SETTINGS_FILE = "optimizer.json"


def save_optimizer(folder: Path, state: Mapping[str, Any], schedule: Mapping[str, Any]) -> None:
    """Write the states of the optimizer (weights by their names) and of the schedule."""
    tensors = {
        f"{weight}.{name}": value.detach().to("cpu").contiguous()
        for weight, entry in state["state"].items()
        for name, value in entry.items()
    }
    save_file(tensors, folder / TENSORS_FILE)
    settings = {"groups": state["param_groups"], "schedule": schedule}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def load_optimizer(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read back what save_optimizer wrote: the optimizer's state and the schedule's."""
    settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    state: dict[str, dict[str, Tensor]] = {}
    with open_weights(folder / TENSORS_FILE) as file:
        for key in file.tensors:
            weight, _, name = key.rpartition(".")
            state.setdefault(weight, {})[name] = file.get_tensor(key)
    groups = [_tuples(group) for group in settings["groups"]]
    return {"state": state, "param_groups": groups}, settings["schedule"]


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    """Restore AdamW's betas, a tuple: JSON has none."""
    return {**group, "betas": tuple(group["betas"])} if "betas" in group else group
