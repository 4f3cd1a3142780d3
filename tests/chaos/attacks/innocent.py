"""Innocent client of the arena: asks 40 times a second, and prints when, how long and what came.

python -m chaos.attacks.innocent HOST:PORT
"""

import sys
import time

from handover_client.connection.policy_client import PolicyClient
from handover_common import HandoverError
from handover_proto.errors import PolicyError

from ..ledger import outcome_of
from ..robots import CONNECT_S, observation

PERIOD_S, DEADLINE_S = 0.025, 5.0


def main() -> None:
    """Ask until the process is killed."""
    seen = observation()
    while True:
        try:
            with PolicyClient.connect(sys.argv[1], timeout_s=CONNECT_S) as client:
                while True:
                    _ask(client, seen)
        except HandoverError as error:
            print(f"the innocent client connects again: {error}", file=sys.stderr)


def _ask(client: PolicyClient, seen: object) -> None:
    began_s = time.monotonic()
    outcome = outcome_of(None)
    try:
        client.infer(seen, seed=1, timeout_s=DEADLINE_S)  # type: ignore[arg-type]
    except PolicyError as error:
        outcome = outcome_of(error)
    took_s = time.monotonic() - began_s
    print(f"{began_s:.6f} {took_s * 1e3:.3f} {outcome}", flush=True)
    time.sleep(max(0.0, PERIOD_S - took_s))


if __name__ == "__main__":
    main()
