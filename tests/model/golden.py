"""Where the golden files are, and how to compare with them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("HANDOVER_GOLDEN", REPOSITORY / ".." / "shared" / "reference"))
if "HANDOVER_GOLDEN" in os.environ and not FOLDER.is_dir():
    raise FileNotFoundError(f"HANDOVER_GOLDEN is {FOLDER}: no such folder")  # and no skipped tests


def cases(pattern: str, but: tuple[str, ...] = ()) -> list[Any]:
    """List the golden files of a pattern as test parameters; one skipped case when none exist.

    but: stems of files that are no cases
    """
    paths = sorted(path for path in FOLDER.glob(pattern) if path.stem not in but)
    if not paths:
        skip = pytest.mark.skip(reason=f"no golden files {pattern} (set HANDOVER_GOLDEN)")
        return [pytest.param(FOLDER, marks=skip, id="none")]
    return [pytest.param(path, id=path.stem) for path in paths]


def read(path: Path) -> Any:
    """Read a JSON file of the golden folder."""
    return json.loads(path.read_text(encoding="utf-8"))


def tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a golden file."""
    return load_file(path)


def group(values: dict[str, Tensor], prefix: str) -> dict[str, np.ndarray]:
    """Take {KEY: array} out of tensors named PREFIX.KEY."""
    start = f"{prefix}."
    return {
        name[len(start) :]: value.numpy()
        for name, value in values.items()
        if name.startswith(start)
    }


def numbered(values: dict[str, Tensor], prefix: str) -> list[Tensor]:
    """Take PREFIX.0, PREFIX.1, … out of tensors, in order."""
    found = [name for name in values if name.rpartition(".")[0] == prefix]
    return [values[f"{prefix}.{place}"] for place in range(len(found))]


def assert_near(got: Any, want: Any, atol: float, what: str, rtol: float = 0.0) -> None:
    """Compare shapes and values; the message says how far apart they are."""
    got = got.detach().cpu().double().numpy() if isinstance(got, Tensor) else np.asarray(got)
    want = want.detach().cpu().double().numpy() if isinstance(want, Tensor) else np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    np.testing.assert_allclose(
        got.astype(float), want.astype(float), atol=atol, rtol=rtol, err_msg=what
    )


def same(got: Tensor, want: Tensor) -> bool:
    """Tell whether two tensors have the same shape and values."""
    return got.shape == want.shape and bool(torch.equal(got.to(want.dtype), want))
