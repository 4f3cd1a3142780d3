"""Settings of `handover calibrate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import check_range

# ruff: noqa: UP045


@dataclass(frozen=True)
class CalibrateConfig:
    """Compute a checkpoint's FP8 scales on a dataset, and the effect of FP8 on its actions."""

    checkpoint: str
    """Checkpoint folder or Hub name (ORGANISATION/MODEL)."""
    dataset_path: Path
    """GR00T dataset whose observations are used."""
    observations: int = 64
    """Observations from all over the dataset: half for the scales, half to measure the error."""
    output: Optional[Path] = None
    """File to write; by default fp8_scales.json in the checkpoint's folder, where serve looks."""
    embodiment_tag: Optional[str] = None
    """Embodiment, if the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder of the tokenizer's files, if the checkpoint has none."""
    device: str = "auto"
    """cpu, cuda or cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the weights; auto is bfloat16 on a GPU and float32 on a CPU."""


def check(config: CalibrateConfig) -> None:
    """Raise UsageError for too few observations."""
    check_range(config, "observations", least=2)
