"""A policy's first request is its slowest; it is asked before any robot asks."""

import logging
import time
from collections.abc import Iterable

import numpy as np
from handover_proto.contract import Observation, Policy, PolicyRequest, PolicySpec
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


def warm_up(policy: Policy, batch_sizes: Iterable[int]) -> None:
    """Put a dummy request of each batch size through `policy`.

    A policy may refuse the dummy (a replay wants to know the episode): it has run all the same.
    """
    for size in batch_sizes:
        began = time.perf_counter()
        try:
            policy.infer([dummy_request(policy.spec)] * size)
        except PolicyFailed:
            raise
        except PolicyError as refusal:
            logger.info("the policy refused the warm-up request: %s", refusal)
            return
        logger.info("warm-up, batch of %d: %.0f ms", size, (time.perf_counter() - began) * 1e3)
