"""The command `handover calibrate`: scales with which a checkpoint is served in FP8."""

from pathlib import Path

from handover_common import MissingExtra, show

from handover_training.calibrate.config import CalibrateConfig, check


def main(config: CalibrateConfig) -> Path:
    """Calibrate, write the file and print the error; returns the path. Raises HandoverError."""
    check(config)
    try:
        from handover_training.calibrate.run import calibrate_checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    path, scales = calibrate_checkpoint(config)
    error = scales.error
    show(
        f"{path}: {len(scales.largest_inputs)} layers, from {scales.observations} observations\n"
        f"actions on {error.chunks} others, compared with the reference path: cosine "
        f"{error.cosine:.6f}, mean difference {error.mean:.2e}, largest {error.largest:.2e} "
        "(normalized units)"
    )
    return path
