"""A policy's first request is its slowest; it is asked before any robot asks."""

import dataclasses
import logging
import time

import numpy as np
from handover_proto import (
    ActionPrefix,
    Observation,
    Policy,
    PolicyError,
    PolicyFailed,
    PolicyRequest,
    PolicySpec,
)

from handover_server.errors import ServingError
from handover_server.inference.memory import ran_out_of_memory, release_memory
from handover_server.inference.output_check import BadOutput, check_output

logger = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 256, 256  # where the checkpoint does not say what it was made for


def dummy_request(spec: PolicySpec) -> PolicyRequest:
    """A black image, a zero state and a task: the least that fits `spec`."""
    return PolicyRequest(
        Observation(
            cameras={
                camera.name: [
                    np.zeros((camera.height or _HEIGHT, camera.width or _WIDTH, 3), np.uint8)
                ]
                * camera.steps
                for camera in spec.cameras
            },
            state={
                group.name: np.zeros((group.steps, group.dim), np.float32) for group in spec.state
            },
            task="stand still",
        ),
        seed=0,
    )


def dummy_with_prefix(spec: PolicySpec) -> PolicyRequest:
    """The same as if the robot still had a chunk of zeros to execute (real-time chunking)."""
    rest = {group.name: np.zeros((spec.horizon, group.dim), np.float32) for group in spec.action}
    return dataclasses.replace(dummy_request(spec), prefix=ActionPrefix(rest, 1))


def warm_up(policy: Policy, max_batch: int) -> int:
    """Put dummy requests of each batch size up to `max_batch` through `policy`, of each kind.

    Returns the largest size that fits in memory; raises ServingError when one request does not,
    and for an answer that no robot may be sent.
    A policy may refuse the dummy (a replay wants to know the episode): it has run all the same.
    """
    dummies = {"": dummy_request(policy.spec)}
    if policy.spec.supports_prefix:
        dummies[" with prefixes"] = dummy_with_prefix(policy.spec)
    for size in range(1, max_batch + 1):
        try:
            if not all(_run(policy, [dummy] * size, kind) for kind, dummy in dummies.items()):
                return max_batch
            continue
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
        release_memory()
        if size == 1:
            raise ServingError("the policy does not fit in memory, not even for a single request")
        logger.warning("a batch of %d does not fit in memory: %d is the most", size, size - 1)
        return size - 1
    return max_batch


def _run(policy: Policy, batch: list[PolicyRequest], kind: str) -> bool:
    """Ask once for a batch; False when the policy wants more than a dummy request."""
    began = time.perf_counter()
    try:
        outputs = policy.infer(batch)
    except PolicyFailed:
        raise
    except PolicyError as refusal:
        logger.info("the policy refused the warm-up request: %s", refusal)
        return False
    try:
        check_output(outputs, len(batch), policy.spec)
    except BadOutput as error:
        raise ServingError(f"the policy's answer to the warm-up request is bad: {error}") from None
    took_ms = 1e3 * (time.perf_counter() - began)
    logger.info("warm-up, batch of %d%s: %.0f ms", len(batch), kind, took_ms)
    return True
