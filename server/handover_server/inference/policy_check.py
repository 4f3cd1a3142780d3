"""Policy checks: the spec when a policy is taken in, every output before a robot gets it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from handover_proto import Policy, PolicyOutput, PolicySpec, are_finite

from handover_server.errors import ServingError


class BadOutput(Exception):
    """An output that violates the policy's own spec; the log has it, the client an incident."""


def check_policy(policy: Any) -> Policy:
    """Return a policy; raises ServingError for another object, or a spec that no client can use."""
    spec = getattr(policy, "spec", None)
    if not isinstance(spec, PolicySpec) or not callable(getattr(policy, "infer", None)):
        raise ServingError(
            f"a policy has a `spec` (handover_proto.PolicySpec) and `infer(requests)`; got "
            f"{type(policy).__name__} with a spec of type {type(spec).__name__}"
        )
    counts = [("horizon", spec.horizon), ("max_batch", spec.max_batch)]
    counts.append(("number of action groups", len(spec.action)))
    for part in (*spec.cameras, *spec.state, *spec.action):
        for count in ("dim", "steps"):
            counts.append((f"{part.name}'s {count}", getattr(part, count, 1)))
    for name, count in counts:
        if count < 1:
            raise ServingError(f"the policy's spec: {name} is {count}, expected 1 or more")
    if not spec.rate_hz > 0:
        raise ServingError(
            f"the policy's spec: rate_hz is {spec.rate_hz}, expected the rate above 0 at which "
            "robots execute the steps of a chunk"
        )
    return policy


def check_output(outputs: Sequence[PolicyOutput], count: int, spec: PolicySpec) -> None:
    """Raise BadOutput unless there are `count` outputs with every group, finite and in shape."""
    if len(outputs) != count:
        raise BadOutput(f"{len(outputs)} outputs for {count} requests")
    for output in outputs:
        if not isinstance(output, PolicyOutput):
            raise BadOutput(f"a {type(output).__name__}, expected a PolicyOutput")
        if set(output.action) != {group.name for group in spec.action}:
            raise BadOutput(f"groups {', '.join(output.action)} are not those of the spec")
        for group in spec.action:
            values = output.action[group.name]
            kind = getattr(values, "dtype", type(values).__name__)
            if np.shape(values) != (spec.horizon, group.dim) or kind != np.float32:
                raise BadOutput(
                    f"{group.name} is {kind} {np.shape(values)}, "
                    f"expected float32 {(spec.horizon, group.dim)}"
                )
        if not are_finite(output.action.values()):
            bad = [name for name, values in output.action.items() if not are_finite([values])]
            raise BadOutput(f"{', '.join(bad)} is not finite")
