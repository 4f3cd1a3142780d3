"""Interfaces of a policy, which the server calls and any class of a user's may implement."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from handover_proto.types import PolicyOutput, PolicyRequest, PolicySpec

COMPILER_THREAD = "policy-compiler"
"""Name of the thread in which a policy compiles itself; nothing waits for it"""


class Policy(Protocol):
    """Interface between the server and what decides on the robot's actions."""

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs of this policy; constant."""
        ...

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        """Return one output per request, in order; the requests fit the spec.

        Frames are arrays by now and every seed is set. Results must not depend on which requests
        come together. May raise PolicyError; anything else is the policy's failure.
        """
        ...


@runtime_checkable
class IdleWork(Protocol):
    """A policy that becomes faster while it serves, without any change in its chunks."""

    def run_idle_work(self) -> None:
        """Do one piece of work that needs the policy's thread, between two batches."""
        ...
