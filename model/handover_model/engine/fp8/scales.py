"""What FP8 needs to know before the first request: kept in a file beside the checkpoint."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import write_text

from handover_model.errors import CheckpointError
from handover_model.network.json_settings import read_json

SCALES_FILE = "fp8_scales.json"
VERSION = 1


@dataclass(frozen=True)
class ActionError:
    """How far FP8's chunks are from the reference path's, in normalised units."""

    chunks: int
    """How many were compared; none of them was calibrated on"""
    cosine: float
    mean: float
    largest: float


@dataclass(frozen=True)
class Fp8Scales:
    """The largest number that each layer reads, on a dataset's observations."""

    weights_hash: str
    """Of the weights that they are for"""
    dataset: str
    observations: int
    error: ActionError
    largest_inputs: dict[str, float]


def save_scales(scales: Fp8Scales, path: Path) -> None:
    """Write scales, whole or not at all."""
    content = {"version": VERSION, **dataclasses.asdict(scales)}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_scales(path: Path, weights_hash: str) -> Fp8Scales:
    """Read scales; CheckpointError when there are none, or they are for other weights."""
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: --precision fp8 wants the scales that `handover calibrate` writes"
        )
    values = read_json(path)
    try:
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']!r}, expected {VERSION}")
        error = values["error"]
        scales = Fp8Scales(
            weights_hash=str(values["weights_hash"]),
            dataset=str(values["dataset"]),
            observations=int(values["observations"]),
            error=ActionError(
                int(error["chunks"]),
                *(float(error[name]) for name in ("cosine", "mean", "largest")),
            ),
            largest_inputs={
                str(name): _positive(number) for name, number in values["largest_inputs"].items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not as Handover writes it: {error!r}") from error
    if scales.weights_hash != weights_hash:
        raise CheckpointError(
            f"{path} is for the weights {scales.weights_hash}, and the checkpoint's are "
            f"{weights_hash}; run `handover calibrate` for them"
        )
    return scales


def _positive(number: Any) -> float:
    if not 0 < float(number) < math.inf:
        raise ValueError(f"a largest input of {number!r}")
    return float(number)
