"""Requests of 31 MiB that are refused: whole, well-formed, of a camera that the policy lacks."""

import grpc
import numpy as np
from handover_proto.types import Observation, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .arena import Attack, Target, in_threads, strike_from_command_line
from .h2 import INFER

ATTACK = Attack("refused requests", "31 MiB each from 6 clients, an unknown camera, one by one")
CLIENTS, SIDE = 6, 3290  # 3290 x 3290 x 3 bytes
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))


def strike(target: Target, compression: grpc.Compression | None = None) -> None:
    """Send them and read the refusals."""
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    data = serialize_request(PolicyRequest(Observation({"elsewhere": [frame]}, {}, "refuse me")))
    channels = [grpc.insecure_channel(target.grpc, options=OPTIONS) for _ in range(CLIENTS)]
    calls = [channel.unary_unary(INFER) for channel in channels]

    def ask(number: int) -> None:
        try:
            calls[number](data, timeout=60, compression=compression)
        except grpc.RpcError as error:
            assert error.code() is not grpc.StatusCode.UNKNOWN, error  # type: ignore[attr-defined]

    in_threads(CLIENTS, ask)


if __name__ == "__main__":
    strike_from_command_line(strike)
