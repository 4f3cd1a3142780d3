"""Look at a dataset's frames as a person would: frozen cameras, black frames."""

from collections.abc import Iterator

import numpy as np

from handover_conversion.check.content import moving_steps
from handover_conversion.errors import DatasetError
from handover_conversion.findings import Finding, note
from handover_conversion.groot.dataset import GrootDataset

SAMPLED_S = 0.5  # between the frames that are looked at
_FROZEN_S = 2.0
_SAME_LEVELS = 0.3  # mean difference of two grey levels 0 … 255: a codec's own, of one picture
_BLACK_LEVEL = 20  # limited range's black decodes to 0 … 16
_STRIDE = 4  # pixels


def frame_findings(
    dataset: GrootDataset, index: int, state: np.ndarray, ranges: np.ndarray
) -> Iterator[Finding]:
    """Note what is strange in an episode's frames; two a second are looked at.

    state: (L, D) of the episode; ranges: (D,) each value's over the whole dataset
    """
    stride = max(1, round(SAMPLED_S * dataset.fps))
    rows = np.arange(0, len(state), stride)
    moves = moving_steps(state, ranges, dataset.fps)
    for camera in dataset.cameras:
        try:
            frames = [
                frame[::_STRIDE, ::_STRIDE].mean(axis=-1)
                for frame in dataset.read_frames(index, camera, rows)
            ]
        except DatasetError:
            continue  # a fault, which is told apart
        yield from _black(camera, index, rows, frames)
        yield from _frozen(camera, index, rows, frames, moves, dataset.fps)


def _black(
    camera: str, index: int, rows: np.ndarray, frames: list[np.ndarray]
) -> Iterator[Finding]:
    dark = [bool((frame <= _BLACK_LEVEL).mean() > 0.99) for frame in frames]
    if any(dark):
        step = int(rows[dark.index(True)])
        what = f"{camera}: {sum(dark)} of {len(dark)} frames that were looked at are black"
        yield note("black frames", what, index, step)


def _frozen(
    camera: str,
    index: int,
    rows: np.ndarray,
    frames: list[np.ndarray],
    moves: np.ndarray,
    fps: float,
) -> Iterator[Finding]:
    """Find the longest run of one picture while the robot moves."""
    start, longest = 0, (0, 0)
    for place in range(1, len(frames) + 1):
        same = place < len(frames) and (
            float(np.abs(frames[place] - frames[place - 1]).mean()) < _SAME_LEVELS
        )
        if same:
            continue
        if rows[place - 1] - rows[start] > longest[1] - longest[0]:
            longest = (int(rows[start]), int(rows[place - 1]))
        start = place
    first, last = longest
    if (last - first) / fps >= _FROZEN_S and moves[first:last].mean() > 0.5:
        what = f"{camera}: the picture stands still for {(last - first) / fps:.1f} s of motion"
        yield note("frozen frames", what, index, first)
