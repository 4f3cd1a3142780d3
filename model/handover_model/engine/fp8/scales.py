"""FP8 scales: the layers' largest inputs, kept in a file beside the checkpoint."""

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
    """Error of FP8's chunks against the reference path's, in normalized units."""

    chunks: int
    """Number compared; none of them was used for calibration"""
    cosine: float
    mean: float
    largest: float


@dataclass(frozen=True)
class Fp8Scales:
    """The largest input of each layer on a dataset's observations."""

    weights_hash: str
    """Of the weights that the scales belong to"""
    dataset: str
    observations: int
    error: ActionError
    largest_inputs: dict[str, float]


def save_scales(scales: Fp8Scales, path: Path) -> None:
    """Write scales atomically."""
    content = {"version": VERSION, **dataclasses.asdict(scales)}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_scales(path: Path, weights_hash: str) -> Fp8Scales:
    """Read scales; CheckpointError when they are missing, or belong to other weights."""
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: --precision fp8 needs the scales that `handover calibrate` writes"
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
        raise CheckpointError(f"{path} is not in Handover's format: {error!r}") from error
    if scales.weights_hash != weights_hash:
        raise CheckpointError(
            f"{path} belongs to the weights {scales.weights_hash}, but the checkpoint's are "
            f"{weights_hash}; run `handover calibrate` for them"
        )
    return scales


def _positive(number: Any) -> float:
    if not 0 < float(number) < math.inf:
        raise ValueError(f"a largest input of {number!r}")
    return float(number)
