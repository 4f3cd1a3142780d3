"""Requests of 31 MiB that are refused: whole, well-formed, of a camera that the policy lacks."""

import grpc
import numpy as np
from handover_proto.types import Observation, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .arena import Attack, Target, strike_from_command_line
from .calls import call_for_ever
from .h2 import INFER

ATTACK = Attack("refused requests", "31 MiB each from 6 clients, an unknown camera, one by one")
CLIENTS, SIDE = 6, 3290  # 3290 x 3290 x 3 bytes


def strike(target: Target, compression: grpc.Compression | None = None, side: int = SIDE) -> None:
    """Send them and read the refusals."""
    frame = np.zeros((side, side, 3), np.uint8)
    data = serialize_request(PolicyRequest(Observation({"elsewhere": [frame]}, {}, "refuse me")))
    call_for_ever(target.grpc, INFER, data, CLIENTS, compression)


if __name__ == "__main__":
    strike_from_command_line(strike)
