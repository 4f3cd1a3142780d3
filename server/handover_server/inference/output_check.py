"""Whether a policy's answer is one that a robot may be sent."""

from collections.abc import Sequence

import numpy as np
from handover_proto import PolicyOutput, PolicySpec, are_finite


class BadOutput(Exception):
    """The policy broke its own spec; the server's log has it, the client an incident."""


def check_output(outputs: Sequence[PolicyOutput], count: int, spec: PolicySpec) -> None:
    """Raise BadOutput unless there are `count` outputs with every group, finite and in shape."""
    if len(outputs) != count:
        raise BadOutput(f"{len(outputs)} outputs for {count} requests")
    for output in outputs:
        if set(output.action) != {group.name for group in spec.action}:
            raise BadOutput(f"groups {', '.join(output.action)} are not those of the spec")
        for group in spec.action:
            values = output.action[group.name]
            if values.shape != (spec.horizon, group.dim) or values.dtype != np.float32:
                raise BadOutput(
                    f"{group.name} is {values.dtype} {values.shape}, "
                    f"expected float32 {(spec.horizon, group.dim)}"
                )
        if not are_finite(output.action.values()):
            bad = [name for name, values in output.action.items() if not are_finite([values])]
            raise BadOutput(f"{', '.join(bad)} is not finite")
