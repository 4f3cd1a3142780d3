"""Episodes of a harness that asks for actions step by step, answered by a policy server."""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from handover_common import UsageError
from handover_proto import Observation, PolicySpec

from handover_client.connection.foreign.open import AnyClient
from handover_client.control.chunk_sources import ServerChunks, sampler_seed
from handover_client.control.controller import RealTimeController
from handover_client.control.robot_view import RobotView
from handover_client.errors import EvaluationError


class Episode(Protocol):
    """One episode of one robot."""

    def rows(self, seen: Mapping[str, Any]) -> np.ndarray:
        """Return the actions from an observation up to where the next is needed: (steps, width)."""
        ...

    def close(self) -> None:
        """End the episode."""
        ...


class _Unseen(Exception):
    """The policy wants an observation of a later step than the harness has shown."""


class AlohaEpisode:
    """ALOHA's joints by the loop of `handover rollout` in lockstep: the same targets, bit by bit.

    A request leaves every `execute_steps` steps of the policy; between them its steps are
    interpolated to the control rate.
    """

    def __init__(
        self,
        client: AnyClient,
        view: RobotView,
        seed: int,
        *,
        control_rate_hz: float,
        execute_steps: int,
    ) -> None:
        """view: what the policy is shown; its `task` is the instruction."""
        spec = client.info.spec
        source = ServerChunks(client, spec, layout=view.layout, seed=seed, same_weights=True)
        self._controller = RealTimeController(
            source,
            view.task,
            control_rate_hz,
            "naive",
            execute_steps=execute_steps,
            reconnect_s=30.0,
            clock="simulated",
        )
        self._view, self._step = view, 0

    def rows(self, seen: Mapping[str, Any]) -> np.ndarray:
        """See Episode; (steps, 14) float32, rad, grippers 0 … 1."""
        joints, first = np.asarray(seen["state"]), self._step
        images = {
            (camera.source, camera.height_width): seen["images"][camera.name]
            for camera in self._view.cameras
        }

        def observe() -> Any:
            if self._step != first:
                raise _Unseen
            return self._view.observe([joints], lambda source, size, _: images[source, size])

        rows = []
        try:
            while True:
                rows.append(self._controller.act(self._step, observe))
                self._step += 1
        except _Unseen:
            return np.stack(rows)

    def close(self) -> None:
        """See Episode."""
        self._controller.close()


@dataclass
class GroupsEpisode:
    """Any robot's actions: the policy's groups side by side, as many steps as are executed.

    cameras: {the policy's: the harness's}; state: {group: (first, end) of the harness's vector}
    """

    client: AnyClient
    seed: int
    execute_steps: int
    cameras: Mapping[str, str]
    state: Mapping[str, tuple[int, int]]
    _sequence: int = field(default=0, init=False)

    def rows(self, seen: Mapping[str, Any]) -> np.ndarray:
        """See Episode."""
        vector = np.asarray(seen.get("state", seen.get("states", ())), np.float32).reshape(-1)
        spec, images = self.client.info.spec, seen["images"]
        observation = Observation(
            {name: [np.asarray(images[key])] for name, key in self.cameras.items()},
            {name: vector[None, first:end] for name, (first, end) in self.state.items()},
            str(seen["task_description"]),
        )
        seed = sampler_seed(self.seed, self._sequence)
        chunk = self.client.infer(observation, seed=seed, sequence=self._sequence)
        self._sequence += self.execute_steps
        rows = np.concatenate([chunk.action[group.name] for group in spec.action], axis=1)
        return rows[: self.execute_steps]

    def close(self) -> None:
        """See Episode."""


class RowByRow:
    """Episode whose rows are handed out one at a time, for a harness that asks at every step."""

    def __init__(self, episode: Episode) -> None:
        self._episode, self._rows = episode, deque[np.ndarray]()

    def rows(self, seen: Mapping[str, Any]) -> np.ndarray:
        """Return the next row: (width,); the observation is looked at when there is none left."""
        if not self._rows:
            self._rows.extend(self._episode.rows(seen))
        return self._rows.popleft()

    def close(self) -> None:
        """See Episode."""
        self._episode.close()


def match_cameras(spec: PolicySpec, told: Mapping[str, str] | None) -> dict[str, str]:
    """{the policy's camera: the harness's}, the same names where nothing else is told."""
    told = dict(told or {})
    names = [camera.name for camera in spec.cameras]
    if unknown := sorted(set(told) - set(names)):
        raise UsageError(f"cameras: the policy has {', '.join(names)}, not {', '.join(unknown)}")
    return {name: told.get(name, name) for name in names}


def match_state(
    spec: PolicySpec, told: Mapping[str, Sequence[int]] | None
) -> dict[str, tuple[int, int]]:
    """{group: (first, end)} of the harness's vector; the groups in their order unless told."""
    ends = list(itertools.accumulate(group.dim for group in spec.state))
    spans = zip([0, *ends], ends, strict=False)
    state = {group.name: span for group, span in zip(spec.state, spans, strict=True)}
    if told is None:
        return state
    if set(told) != set(state):
        raise UsageError(f"state: expected a [FIRST, END] for each of {', '.join(state)}")
    for group in spec.state:
        span = told[group.name]
        if len(span) != 2 or not 0 <= span[0] < span[1] or span[1] - span[0] != group.dim:
            raise UsageError(f"state.{group.name}: expected [FIRST, END] of {group.dim} numbers")
    return {name: (span[0], span[1]) for name, span in told.items()}


def check_steps(spec: PolicySpec, control_rate_hz: float, execute_steps: int) -> None:
    """Raise EvaluationError for a policy whose steps are not the harness's."""
    if spec.rate_hz and spec.rate_hz != control_rate_hz:
        raise EvaluationError(
            f"the policy acts at {spec.rate_hz:g} Hz, the benchmark at {control_rate_hz:g}: its "
            "actions would be played too fast or too slowly"
        )
    if not 1 <= execute_steps <= spec.horizon or spec.first_step:
        raise EvaluationError(
            f"execute_steps is {execute_steps}; the chunks have {spec.horizon} steps and begin "
            f"{spec.first_step} after the observation"
        )
    if any(part.steps != 1 for part in (*spec.cameras, *spec.state)):
        raise EvaluationError("the policy looks back in time, and the harness shows the present")
