"""A policy that fails when a request's tag tells it to: raise, hang FILE, memory; else it holds.

Run as a program it is `handover serve` with that policy, whatever flags follow.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from handover_common import run_command
from handover_proto.policy import Policy
from handover_proto.types import PolicyOutput, PolicyRequest
from handover_server.policies.hold import HoldPolicy
from handover_server.serve import command as serve
from handover_server.serve import run as serving


class FaultyPolicy(HoldPolicy):
    """Holds, unless told otherwise."""

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        for request in requests:
            what, _, file = request.client_tag.partition(" ")
            if what == "raise":
                told = f"the weights in /srv/weights cannot {request.observation.task}"
                raise RuntimeError(told)
            if what == "memory":
                np.empty(1 << 60, np.uint8)  # a real MemoryError
            while what == "hang" and Path(file).exists():
                time.sleep(0.01)
        return super().infer(requests)


def _load(config: serve.ServeConfig) -> Policy:
    return FaultyPolicy()


if __name__ == "__main__":
    serving.load_policy = _load
    raise SystemExit(run_command(serve.ServeConfig, serve.main, "handover serve"))
