"""The soak's clients of the gateways: openpi's over a websocket, Isaac-GR00T's over ZMQ."""

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import zmq
from handover_proto.embodiment import GR1_DIMS
from handover_proto.msgpack_wire import npy, openpi_array
from websockets.sync.client import connect

TIMEOUT_S = 20.0
HORIZON = 16


class WrongReply(Exception):
    """A gateway answered something else than what was asked for."""


class GatewayTraffic:
    """One connection to each gateway, which stays, and visitors that come and go."""

    def __init__(self, openpi_port: int, groot_zmq_port: int, random: np.random.Generator) -> None:
        self._address = f"ws://127.0.0.1:{openpi_port}"
        self._random = random
        self._websocket = self._connect()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.RCVTIMEO, int(1e3 * TIMEOUT_S))
        self._socket.connect(f"tcp://127.0.0.1:{groot_zmq_port}")
        self._aloha = _packed(_aloha(), openpi_array)
        self._action = _packed({"endpoint": "get_action", "data": {"observation": _groot()}}, npy)

    @property
    def kinds(self) -> dict[str, tuple[Callable[[], str], int]]:
        """What may be asked, and how often in relation to the others."""
        return {
            "openpi websocket, raw 240x320": (self._ask_openpi, 5),
            "GR00T ZMQ, raw 256x256": (self._ask_groot, 5),
            "openpi connects, asks, goes": (self._visit, 1),
            "garbage at the gateways": (self._garbage, 2),
            "GR00T ping and kill": (self._small, 1),
        }

    def close(self) -> None:
        """End both connections."""
        self._websocket.close()
        self._context.destroy(linger=0)

    def _connect(self) -> Any:
        websocket = connect(self._address, compression=None, max_size=None, proxy=None)
        websocket.recv(TIMEOUT_S)  # the metadata
        return websocket

    def _ask_openpi(self) -> str:
        return _infer(self._websocket, self._aloha)

    def _visit(self) -> str:
        with self._connect() as websocket:
            return _infer(websocket, self._aloha)

    def _ask_groot(self) -> str:
        reply = self._exchange(self._action)
        if not isinstance(reply, list) or set(reply[0]) != set(GR1_DIMS):
            raise WrongReply(f"get_action was answered by {str(reply)[:200]}")
        return "answered"

    def _garbage(self) -> str:
        data = self._random.bytes(int(self._random.integers(1, 20_000)))
        self._websocket.send(data)
        told = self._websocket.recv(TIMEOUT_S)
        reply = self._exchange(data)
        if not isinstance(told, str) or not isinstance(reply, dict) or "error" not in reply:
            raise WrongReply("garbage was not refused")
        return "refused"

    def _small(self) -> str:
        pong = self._exchange(_packed({"endpoint": "ping"}, npy))
        killed = self._exchange(_packed({"endpoint": "kill"}, npy))
        if pong.get("status") != "ok" or "error" not in killed:
            raise WrongReply(f"ping {pong}, kill {killed}")
        return "answered and refused"

    def _exchange(self, *frames: bytes) -> Any:
        self._socket.send_multipart(list(frames))
        return msgpack.unpackb(self._socket.recv())


def _infer(websocket: Any, data: bytes) -> str:
    websocket.send(data)
    reply = websocket.recv(TIMEOUT_S)
    if isinstance(reply, str) or msgpack.unpackb(reply)["actions"][b"shape"] != [HORIZON, 14]:
        raise WrongReply(f"openpi's gateway answered {reply[:200]!r}")
    return "answered"


def _packed(message: dict, pack: Callable[[np.ndarray], Any]) -> bytes:
    data = msgpack.packb(message, default=pack)
    assert data is not None
    return data


def _aloha() -> dict[str, Any]:
    frame = np.arange(3 * 240 * 320, dtype=np.uint32).astype(np.uint8).reshape(3, 240, 320)
    return {"state": np.zeros(14), "images": {"cam_high": frame}, "prompt": "transfer the cube"}


def _groot() -> dict[str, Any]:
    return {
        "video": {"ego_view": np.zeros((1, 1, 256, 256, 3), np.uint8)},
        "state": {name: np.zeros((1, 1, dim), np.float32) for name, dim in GR1_DIMS.items()},
        "language": {"annotation.human.task_description": [["transfer the cube"]]},
    }
