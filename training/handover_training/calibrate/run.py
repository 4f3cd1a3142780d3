"""FP8 calibration of a checkpoint: observations from a dataset, scales into a file."""

import os
from pathlib import Path

import numpy as np
from handover_common import UsageError
from handover_model import choose_device, choose_dtype
from handover_model.checkpoints import load_checkpoint
from handover_model.engine import calibrate
from handover_model.engine.fp8 import SCALES_FILE, Fp8Scales, save_scales
from handover_model.processing import ByteSample, Processor

from handover_training.calibrate.config import CalibrateConfig
from handover_training.data.episodes import (
    DatasetSplit,
    Embodiment,
    open_sources,
    read_recordings,
)
from handover_training.data.windows import Window, WindowTable


def calibrate_checkpoint(config: CalibrateConfig) -> tuple[Path, Fp8Scales]:
    """Calibrate and write the file; returns its path. Raises HandoverError."""
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    checkpoint = load_checkpoint(
        config.checkpoint, device=device, dtype=dtype, tokenizer=config.tokenizer
    )
    checkpoint.network.requires_grad_(False)
    path = config.output or checkpoint.folder / SCALES_FILE
    _check_writable(path)
    processor = checkpoint.processor(config.embodiment_tag)
    samples, name = read_observations(config.dataset_path, processor, config.observations)
    scales = calibrate(checkpoint, processor, samples[::2], samples[1::2], name)
    save_scales(scales, path)
    return path, scales


def read_observations(path: Path, processor: Processor, count: int) -> tuple[list[ByteSample], str]:
    """Prepare observations at equal distances through a dataset; returns its name as well."""
    embodiment = Embodiment(processor.tag, processor.codec.modality)
    (source,) = open_sources([path], [embodiment], 0, 0)
    table = WindowTable(read_recordings([source], held_out=False))
    numbers = np.unique(np.linspace(0, len(table) - 1, count).astype(int))
    return [_prepare(source, table, table[number], processor) for number in numbers], source.name


def _check_writable(path: Path) -> None:
    """Check before minutes of work that its result can be written."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written; name another file with --output")


def _prepare(
    source: DatasetSplit, table: WindowTable, window: Window, processor: Processor
) -> ByteSample:
    rows = sorted(set(window.frame_rows))
    episode = table.recordings[window.recording].index
    cameras: dict[str, list[np.ndarray]] = {}
    for camera in source.embodiment.modality.video.keys:
        read = dict(zip(rows, source.dataset.read_frames(episode, camera, rows), strict=True))
        cameras[camera] = [read[row] for row in window.frame_rows]
    return processor.prepare(cameras, window.state, window.task)
