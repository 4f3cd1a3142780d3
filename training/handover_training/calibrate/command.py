"""`handover calibrate`: the scales with which a checkpoint is served in FP8."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from handover_common import MissingExtra, UsageError

# typing.Optional: tyro checks such a default without importing typeguard
# ruff: noqa: UP045


@dataclass(frozen=True)
class CalibrateConfig:
    """Find FP8 scales for a checkpoint on a dataset, and what FP8 does to its actions."""

    checkpoint: str
    """Checkpoint folder or hub name (ORGANISATION/MODEL)."""
    dataset_path: Path
    """GR00T dataset whose observations the checkpoint is asked about."""
    observations: int = 64
    """From all over the dataset: half of them for the scales, the others for the error."""
    output: Optional[Path] = None
    """File to write; by default fp8_scales.json in the checkpoint's folder, where serve looks."""
    embodiment_tag: Optional[str] = None
    """Embodiment, where the checkpoint has several."""
    tokenizer: Optional[Path] = None
    """Folder with the tokenizer's files, where the checkpoint has none."""
    device: str = "auto"
    """cpu, cuda, cuda:N; auto takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; auto is bfloat16 on a GPU and float32 on a CPU."""


def main(config: CalibrateConfig) -> Path:
    """Calibrate and write the file; gives its path. Raises HandoverError."""
    if config.observations < 2:
        raise UsageError(f"--observations is {config.observations}, expected 2 or more")
    try:
        from handover_training.calibrate.run import run
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    path, scales = run(config)
    error = scales.error
    print(
        f"{path}: {len(scales.largest_inputs)} layers, from {scales.observations} observations\n"
        f"actions on {error.chunks} others, beside the reference path's: cosine "
        f"{error.cosine:.6f}, mean difference {error.mean:.2e}, largest {error.largest:.2e} "
        "(normalised units)"
    )
    return path


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(CalibrateConfig, prog="handover calibrate"))
