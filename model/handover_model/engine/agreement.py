"""How far two ways to compute a chunk may be apart."""

from dataclasses import dataclass

import numpy as np
import torch

from handover_model.errors import ModalityError

FLOAT32_ATOL = 1e-3  # normalised units; rounding alone gives some 1e-6
ROUNDED_COSINE = 0.99  # at least, in bfloat16 and FP8; two orders of rounding give more


@dataclass(frozen=True)
class Agreement:
    """How far apart two batches of chunks are."""

    difference: float
    """The largest, in normalised units"""
    cosine: float
    """1 when they point the same way as vectors"""


def compare(got: np.ndarray, want: np.ndarray) -> Agreement:
    """Compare chunks of one shape; NaN in one gives NaN in both figures."""
    a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    return Agreement(float(np.abs(a - b).max()), cosine)


def check_alike(got: np.ndarray, want: np.ndarray, dtype: torch.dtype, what: str) -> Agreement:
    """Compare chunks; ModalityError when they are further apart than rounding explains.

    dtype: the coarser one, where they were computed in two.
    """
    found = compare(got, want)
    if dtype == torch.float32:
        alike = found.difference <= FLOAT32_ATOL
    else:
        alike = found.cosine >= ROUNDED_COSINE
    if not alike:
        raise ModalityError(
            f"{what} differ by {found.difference:.2e} (cosine {found.cosine:.6f}) in {dtype}"
        )
    return found
