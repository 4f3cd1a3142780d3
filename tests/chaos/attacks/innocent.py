"""Innocent client of the arena: asks 40 times a second, and prints when, how long and what came.

python -m chaos.attacks.innocent HOST:PORT
"""

import sys
import threading
import time

from handover_client.connection.policy_client import PolicyClient
from handover_common import HandoverError
from handover_proto.errors import PolicyError

from ..ledger import outcome_of
from ..robots import CONNECT_S, observation

PERIOD_S, DEADLINE_S, VISIT_S = 0.025, 5.0, 1.0
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)  # else clients share one connection


def main() -> None:
    """Ask until the process is killed."""
    threading.Thread(target=_come_anew, daemon=True).start()
    seen = observation()
    while True:
        try:
            with PolicyClient.connect(sys.argv[1], timeout_s=CONNECT_S) as client:
                while True:
                    _ask(client, seen)
        except HandoverError as error:
            print(f"the innocent client connects again: {error}", file=sys.stderr)


def _come_anew() -> None:
    while True:
        began_s = time.monotonic()
        outcome = "newcomer"
        try:
            with PolicyClient.connect(
                sys.argv[1], timeout_s=DEADLINE_S, channel_options=OF_ITS_OWN
            ) as client:
                client.infer(observation(), seed=1, timeout_s=DEADLINE_S)
        except HandoverError as error:
            outcome = f"newcomer_{type(error).__name__}"
        took_s = time.monotonic() - began_s
        _tell(began_s, took_s, outcome)
        time.sleep(max(0.0, VISIT_S - took_s))


def _ask(client: PolicyClient, seen: object) -> None:
    began_s = time.monotonic()
    outcome = outcome_of(None)
    try:
        client.infer(seen, seed=1, timeout_s=DEADLINE_S)  # type: ignore[arg-type]
    except PolicyError as error:
        outcome = outcome_of(error)
    took_s = time.monotonic() - began_s
    _tell(began_s, took_s, outcome)
    time.sleep(max(0.0, PERIOD_S - took_s))


def _tell(began_s: float, took_s: float, outcome: str) -> None:
    sys.stdout.write(f"{began_s:.6f} {took_s * 1e3:.3f} {outcome}\n")  # threads write whole lines
    sys.stdout.flush()


if __name__ == "__main__":
    main()
