"""JPEG files of 31 MiB that hold nothing but empty comments."""

import grpc
from handover_proto.types import EncodedImage, ImageCodec, Observation, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .arena import Attack, Target, in_threads, strike_from_command_line
from .h2 import INFER
from .refused_requests import OPTIONS

ATTACK = Attack("JPEG of markers", "31 MiB of empty comments, 3 clients, one by one")
CLIENTS = 3


def strike(target: Target) -> None:
    """Send them and read the refusals."""
    file = b"\xff\xd8" + b"\xff\xfe\x00\x02" * (31 << 18)
    image = EncodedImage(ImageCodec.JPEG, file)
    data = serialize_request(PolicyRequest(Observation({"ego_view": [image]}, {}, "refuse me")))
    channels = [grpc.insecure_channel(target.grpc, options=OPTIONS) for _ in range(CLIENTS)]
    calls = [channel.unary_unary(INFER) for channel in channels]

    def ask(number: int) -> None:
        try:
            calls[number](data, timeout=60)
        except grpc.RpcError as error:
            assert error.code() is not grpc.StatusCode.UNKNOWN, error  # type: ignore[attr-defined]

    in_threads(CLIENTS, ask)


if __name__ == "__main__":
    strike_from_command_line(strike)
