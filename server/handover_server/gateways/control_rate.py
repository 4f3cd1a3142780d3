"""Control rate of clients that take a row of actions per control step: openpi's."""

import re
from collections.abc import Sequence

import numpy as np
from handover_proto import PolicySpec

from handover_server.errors import ServingError

# Half of a gripper's command, or of a rotation's numbers, may be no command: these jump.
_JUMPING = re.compile("gripper|hand|quat|rot", re.IGNORECASE)


def check_rate(spec: PolicySpec, control_rate_hz: float | None) -> None:
    """Raise ServingError where rows at the clients' rate cannot be made of the policy's steps."""
    if spec.first_step:
        raise ServingError(
            f"the policy {spec.policy}'s chunks begin {spec.first_step} steps after the "
            "observation, and openpi's clients play a chunk's first row at once: they would be "
            "that much early; serve it without --openpi-port"
        )
    if control_rate_hz is not None and not spec.rate_hz:
        raise ServingError(
            f"the policy {spec.policy} does not say at which rate it acts, so that rows for "
            f"clients at --openpi-rate-hz {control_rate_hz:g} cannot be made; expected "
            "a checkpoint whose metadata names its rate, or PolicySpec.rate_hz of one's own policy"
        )


def jumping_columns(spec: PolicySpec) -> list[int]:
    """Return the columns, of all groups side by side, between whose steps nothing may lie."""
    jumps = [bool(_JUMPING.search(f"{group.name} {group.unit}")) for group in spec.action]
    return np.flatnonzero(np.repeat(jumps, [group.dim for group in spec.action])).tolist()


def steps_at_rate(steps: int, rate_hz: float, control_rate_hz: float) -> int:
    """Return how many targets at another rate a chunk's steps make."""
    return int(steps * control_rate_hz / rate_hz + 1e-9)


def at_rate(
    targets: np.ndarray, rate_hz: float, control_rate_hz: float, jumping: Sequence[int]
) -> np.ndarray:
    """Resample a chunk to a target per control step: (steps, width) -> (more or fewer, width).

    Step j of a chunk is due j / rate_hz after its observation. Columns go linearly from one step to
    the next, those that are `jumping` do not: as handover_client.control.chunk_player plays arms
    and grippers. float32.
    """
    count = steps_at_rate(len(targets), rate_hz, control_rate_hz)
    places = np.arange(count) * (rate_hz / control_rate_hz)
    index = np.minimum((places + 1e-9).astype(int), len(targets) - 1)
    following = np.minimum(index + 1, len(targets) - 1)
    share = np.clip(places - index, 0, 1)[:, None].astype(np.float32)
    rows = targets[index] + share * (targets[following] - targets[index])
    rows[:, jumping] = targets[index][:, jumping]
    return rows.astype(np.float32)
