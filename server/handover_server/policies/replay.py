"""Replay policy: plays a dataset's own actions back, as a perfect policy would.

A request gives its place by its `client_tag`, "episode=N", and its `sequence`, the dataset's step.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from handover_conversion.groot import GrootDataset
from handover_proto import (
    CHUNK_STEPS,
    ActionSpec,
    CameraSpec,
    InvalidRequest,
    PolicyOutput,
    PolicyRequest,
    PolicySpec,
    StateSpec,
)

_TAG = re.compile(r"episode=([0-9]{1,9})")
_EPISODES_IN_MEMORY = 64


class ReplayPolicy:
    """Returns the demonstrator's next actions, and the last one past the end."""

    def __init__(self, dataset: GrootDataset) -> None:
        self._dataset = dataset
        self._episodes = {entry.index for entry in dataset.episodes}
        self._actions = lru_cache(_EPISODES_IN_MEMORY)(self._read_actions)
        self._spec = _spec_of(dataset)

    @classmethod
    def open(cls, path: Path) -> "ReplayPolicy":
        """Open the GR00T dataset at `path`; raises DatasetError."""
        return cls(GrootDataset.open(path))

    @property
    def spec(self) -> PolicySpec:
        """The dataset's cameras and groups."""
        return self._spec

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Return recorded actions: {group: (16, dim) float32}; InvalidRequest for other tags."""
        return [PolicyOutput(self._chunk(request)) for request in requests]

    def _chunk(self, request: PolicyRequest) -> dict[str, np.ndarray]:
        match = _TAG.fullmatch(request.client_tag)
        if match is None or int(match[1]) not in self._episodes:
            known = ", ".join(str(index) for index in sorted(self._episodes)[:20])
            raise InvalidRequest(
                "client_tag", f"episode=N, N one of {known}", repr(request.client_tag[:40])
            )
        actions = self._actions(int(match[1]))
        first = min(request.sequence, len(actions) - 1)  # sequence may exceed numpy's integers
        steps = np.minimum(first + np.arange(CHUNK_STEPS), len(actions) - 1)
        return {
            name: np.ascontiguousarray(actions[steps, columns])
            for name, columns in self._dataset.action_groups.items()
        }

    def _read_actions(self, episode: int) -> np.ndarray:
        return self._dataset.read_episode(episode).action


def _spec_of(dataset: GrootDataset) -> PolicySpec:
    return PolicySpec(
        policy="replay",
        cameras=tuple(CameraSpec(name) for name in dataset.cameras),
        state=tuple(
            StateSpec(name, columns.stop - columns.start)
            for name, columns in dataset.state_groups.items()
        ),
        action=tuple(
            ActionSpec(name, columns.stop - columns.start)
            for name, columns in dataset.action_groups.items()
        ),
        horizon=CHUNK_STEPS,
        rate_hz=dataset.fps,
        checkpoint_name=dataset.path.resolve().name,
        checkpoint_hash=dataset.content_hash(),
        max_batch=8,
        language_key=dataset.instructions.default_key(),
    )
