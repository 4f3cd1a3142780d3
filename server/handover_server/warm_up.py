"""A policy's first request is its slowest; it is asked before any robot asks."""

import dataclasses
import logging
import time
from collections.abc import Iterable

import numpy as np
from handover_proto.contract import (
    ActionPrefix,
    Observation,
    Policy,
    PolicyRequest,
    PolicySpec,
)
from handover_proto.errors import PolicyError, PolicyFailed

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


def warm_up(policy: Policy, batch_sizes: Iterable[int]) -> None:
    """Put dummy requests of each batch size through `policy`, of each kind that it takes.

    A policy may refuse the dummy (a replay wants to know the episode): it has run all the same.
    """
    spec = policy.spec
    dummies = {"": dummy_request(spec)}
    if spec.supports_prefix:
        dummies[" with prefixes"] = dummy_with_prefix(spec)
    for size in batch_sizes:
        for kind, dummy in dummies.items():
            began = time.perf_counter()
            try:
                policy.infer([dummy] * size)
            except PolicyFailed:
                raise
            except PolicyError as refusal:
                logger.info("the policy refused the warm-up request: %s", refusal)
                return
            took_ms = 1e3 * (time.perf_counter() - began)
            logger.info("warm-up, batch of %d%s: %.0f ms", size, kind, took_ms)
