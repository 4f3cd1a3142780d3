"""Observations of a recorded episode: the rows and frames that the policy would have seen."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from handover_proto import CameraSpec, Observation, PolicySpec, StateSpec

if TYPE_CHECKING:
    from handover_conversion.groot import Episode, GrootDataset

_READ_AHEAD = 64  # observations; 60 MB of 640x480 frames


def observations(
    dataset: "GrootDataset", index: int, episode: "Episode", spec: PolicySpec, steps: Sequence[int]
) -> Iterator[Observation]:
    """Yield an episode's observation at each of the rising steps.

    Some are read at a time: a video decoder at work would slow down the calls between them.
    """
    read = _read(dataset, index, episode, spec, steps)
    while batch := list(itertools.islice(read, _READ_AHEAD)):
        yield from batch


def _read(
    dataset: "GrootDataset", index: int, episode: "Episode", spec: PolicySpec, steps: Sequence[int]
) -> Iterator[Observation]:
    videos = [frames_seen(dataset, index, camera, steps) for camera in spec.cameras]
    columns = dataset.state_groups
    for step in steps:
        yield Observation(
            cameras={
                camera.name: next(video) for camera, video in zip(spec.cameras, videos, strict=True)
            },
            state={
                group.name: episode.state[rows_seen(step, group), columns[group.name]].astype(
                    np.float32
                )
                for group in spec.state
            },
            task=episode.task_at(step),
        )


def rows_seen(step: int, part: CameraSpec | StateSpec) -> list[int]:
    """List the rows that a policy sees of a camera or a group at a step, oldest first.

    Before the episode's start it sees the first row, as in training.
    """
    return [max(0, step + delta) for delta in part.delta_indices or (0,)]


def frames_seen(
    dataset: "GrootDataset", index: int, camera: CameraSpec, steps: Sequence[int]
) -> Iterator[list[np.ndarray]]:
    """Yield the frames that a policy sees at each of the rising steps; each is decoded once."""
    wanted = [rows_seen(step, camera) for step in steps]
    rows = sorted({row for seen in wanted for row in seen})
    video = zip(rows, dataset.read_frames(index, camera.name, rows), strict=True)
    kept: dict[int, np.ndarray] = {}
    for seen in wanted:
        while max(seen) not in kept:
            row, frame = next(video)
            kept[row] = frame
        kept = {row: frame for row, frame in kept.items() if row >= min(seen)}
        yield [kept[row] for row in seen]
