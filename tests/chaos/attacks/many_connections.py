"""Two hundred connections without tokens, from one address, each with a request always waiting."""

import threading
import time

import numpy as np
from handover_proto.embodiment import aloha_state_groups
from handover_proto.types import Observation, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .arena import Attack, Target, in_threads, strike_from_command_line
from .h2 import INFER, STRANGER, Connection, prefixed

ATTACK = Attack("200 connections", "from another address, each asks for chunks as fast as it can")
CONNECTIONS, THREADS = 200, 4


def strike(target: Target) -> None:
    """Ask on every connection as soon as it was answered."""
    state = aloha_state_groups(np.zeros(14, np.float32))
    sight = Observation({"ego_view": [np.zeros((32, 32, 3), np.uint8)]}, state, "move")
    body = prefixed(serialize_request(PolicyRequest(sight, seed=1)))
    connections: list[Connection | None] = [None] * CONNECTIONS
    lock = threading.Lock()

    def ask(number: int) -> None:
        for at in range(number, CONNECTIONS, THREADS):
            connection = connections[at]
            if connection is None or connection.closed:
                with lock:
                    connection = connections[at] = Connection(target.grpc, STRANGER)
                connection.asked = 0
            if connection.asked == connection.answers:
                connection.call(INFER, body, end=True)
                connection.asked += 1
        time.sleep(0.001)

    in_threads(THREADS, ask)


if __name__ == "__main__":
    strike_from_command_line(strike)
