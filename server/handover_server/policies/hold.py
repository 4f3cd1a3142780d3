"""Hold policy: the robot stays in place; numpy alone, for clients and tests without a model."""

from collections.abc import Sequence

import numpy as np
from handover_proto import (
    GR1_DIMS,
    ActionSpec,
    CameraSpec,
    PolicyOutput,
    PolicyRequest,
    PolicySpec,
    StateSpec,
)

from handover_server.errors import ServingError

_UNITS = {"left_hand": "0 closed … 1 open", "right_hand": "0 closed … 1 open"}

ALOHA_HOLD = PolicySpec(
    policy="hold",
    cameras=(CameraSpec("ego_view"),),
    state=tuple(StateSpec(name, dim, 1, _UNITS.get(name, "rad")) for name, dim in GR1_DIMS.items()),
    action=tuple(
        ActionSpec(name, dim, False, _UNITS.get(name, "rad")) for name, dim in GR1_DIMS.items()
    ),
    horizon=16,
    rate_hz=20.0,
    checkpoint_name="hold",
    embodiment_tag="gr1",
    max_batch=8,
)


class HoldPolicy:
    """Commands the robot to stay in its current pose, for the whole horizon."""

    def __init__(self, spec: PolicySpec = ALOHA_HOLD) -> None:
        """Raise ServingError for an action group without a state of its name and width to hold."""
        dims = {group.name: group.dim for group in spec.state}
        for group in spec.action:
            if dims.get(group.name) != group.dim:
                raise ServingError(
                    f"cannot hold the action group {group.name!r} of width {group.dim}: "
                    f"the state groups are {dims}"
                )
        self._spec = spec

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs: those of GR1 and ALOHA unless given."""
        return self._spec

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Repeat each request's latest state: {group: (horizon, dim) float32}."""
        return [PolicyOutput(self._hold(request)) for request in requests]

    def _hold(self, request: PolicyRequest) -> dict[str, np.ndarray]:
        state = request.observation.state
        return {
            group.name: np.repeat(state[group.name][-1:], self._spec.horizon, axis=0)
            for group in self._spec.action
        }
