"""Warm-up: a policy's first request is its slowest, so example requests are computed first."""

import logging
import time

from handover_proto import Policy, PolicyError, PolicyFailed, PolicyRequest, example_request

from handover_server.errors import ServingError
from handover_server.inference.memory import ran_out_of_memory, release_memory
from handover_server.inference.policy_check import BadOutput, check_output

logger = logging.getLogger(__name__)


def warm_up(policy: Policy, max_batch: int) -> int:
    """Compute example requests in each batch size up to `max_batch`, with and without prefixes.

    Returns the largest size that fits in memory; raises ServingError when a single request does
    not, and for an output that must not be sent to a robot.
    A policy may refuse the example (replay needs to know the episode): it has run all the same.
    """
    examples = {"": example_request(policy.spec)}
    if policy.spec.supports_prefix:
        examples[" with prefixes"] = example_request(policy.spec, with_prefix=True)
    for size in range(1, max_batch + 1):
        try:
            if not all(_run(policy, [example] * size, kind) for kind, example in examples.items()):
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
    """Compute a batch once; returns False when the policy refuses the example request."""
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
        raise ServingError(f"the policy's output for the warm-up request is bad: {error}") from None
    took_ms = 1e3 * (time.perf_counter() - began)
    logger.info("warm-up, batch of %d%s: %.0f ms", len(batch), kind, took_ms)
    return True
