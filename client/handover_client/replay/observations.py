"""Which of a recording's rows an observation is made of, where a policy looks back."""

from collections.abc import Iterator, Sequence

import numpy as np
from handover_proto import CameraSpec, StateSpec

from handover_client.replay.recordings import Recordings


def rows_seen(step: int, part: CameraSpec | StateSpec) -> list[int]:
    """List the rows that a policy sees of a camera or a group at a step, oldest first.

    Before the episode's start it sees the first row, as in training.
    """
    return [max(0, step + delta) for delta in part.delta_indices or (0,)]


def frames_seen(
    recordings: Recordings, index: int, camera: CameraSpec, steps: Sequence[int]
) -> Iterator[list[np.ndarray]]:
    """Give the frames that a policy sees at each of the rising steps; each is decoded once."""
    wanted = [rows_seen(step, camera) for step in steps]
    rows = sorted({row for seen in wanted for row in seen})
    video = zip(rows, recordings.read_frames(index, camera.name, rows), strict=True)
    kept: dict[int, np.ndarray] = {}
    for seen in wanted:
        while max(seen) not in kept:
            row, frame = next(video)
            kept[row] = frame
        kept = {row: frame for row, frame in kept.items() if row >= min(seen)}
        yield [kept[row] for row in seen]
