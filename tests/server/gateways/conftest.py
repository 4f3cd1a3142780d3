"""Clients of the other protocols, written from what the protocols say, and their messages."""

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from handover_proto.msgpack_wire import npy, openpi_array, read_npy, read_openpi_array
from handover_server.gateways.listeners import GatewaySettings

TIMEOUT_S = 60.0


class WebsocketByHand:
    """What openpi-client's WebsocketClientPolicy does, for where that package is not installed."""

    def __init__(self, host: str, port: int, api_key: str | None = None) -> None:
        from websockets.sync.client import connect

        self._ws = connect(  # the library warns of this, in openpi's client too
            f"ws://{host}:{port}",
            compression=None,
            max_size=None,
            proxy=None,
            additional_headers={"Authorization": f"Api-Key {api_key}"} if api_key else None,
        )
        self._metadata = msgpack.unpackb(self._ws.recv(TIMEOUT_S))

    def get_server_metadata(self) -> dict:
        return self._metadata

    def infer(self, observation: dict) -> dict:
        self._ws.send(msgpack.packb(observation, default=pack_array))
        reply = self._ws.recv(TIMEOUT_S)
        if isinstance(reply, str):
            raise RuntimeError(f"Error in inference server:\n{reply}")  # noqa: TRY004  # as there
        return msgpack.unpackb(reply, object_hook=unpack_array)


def pack_array(value: Any) -> Any:
    return openpi_array(value)


def unpack_array(value: dict) -> Any:
    return read_openpi_array(value, "reply") if b"__ndarray__" in value else value


@pytest.fixture(params=["openpi-client", "by hand"])
def openpi_client(request) -> Iterator[Callable[..., Any]]:
    """Connects as openpi_client(port=…, api_key=…); the package itself where it is installed."""
    if request.param == "openpi-client":
        make = pytest.importorskip("openpi_client.websocket_client_policy").WebsocketClientPolicy
    else:
        pytest.importorskip("websockets")
        make = WebsocketByHand
    made = []

    def connect(**where: Any) -> Any:
        made.append(make(host="127.0.0.1", **where))
        return made[-1]

    yield connect
    for client in made:
        client._ws.close()


@pytest.fixture
def serve_openpi(serve):
    """serve_openpi(policy, …) starts a server with openpi's port."""

    def start(policy, adaptation=None, **settings):
        pytest.importorskip("websockets")
        extra = {} if adaptation is None else {"adaptation": adaptation}
        return serve(policy, gateways=GatewaySettings(openpi_port=0, **extra), **settings)

    return start


@pytest.fixture
def aloha() -> dict:
    """What openpi's aloha_sim sends, with the prompt that its server may also hold."""
    rng = np.random.default_rng(0)
    return {
        "state": np.linspace(0, 1, 14),
        "images": {"cam_high": rng.integers(0, 255, (3, 224, 224), dtype=np.uint8)},
        "prompt": "transfer the cube",
    }


class GrootClient:
    """A REQ socket, as Isaac-GR00T's PolicyClient."""

    def __init__(self, port: int) -> None:
        zmq = pytest.importorskip("zmq")
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.RCVTIMEO, int(1e3 * TIMEOUT_S))
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def send(self, *frames: bytes) -> bytes:
        self.socket.send_multipart(list(frames))
        return self.socket.recv()

    def call(self, endpoint: str, **message: Any) -> Any:
        data = msgpack.packb({"endpoint": endpoint, **message}, default=npy)
        return msgpack.unpackb(self.send(data), object_hook=groot_array)

    def close(self) -> None:
        self._context.destroy(linger=0)


def groot_array(value: dict) -> Any:
    return read_npy(value, "reply") if "__ndarray_class__" in value else value


@pytest.fixture
def groot_client(serve) -> Iterator[Callable[..., GrootClient]]:
    """groot_client(policy, …) starts a server with the ZMQ port and connects to it."""
    pytest.importorskip("zmq")
    made = []

    def start(policy, **settings):
        running = serve(policy, gateways=GatewaySettings(groot_zmq_port=0), **settings)
        made.append(GrootClient(running.server.gateways.groot_zmq_port))
        return made[-1]

    yield start
    for client in made:
        client.close()


@pytest.fixture
def groot_observation() -> dict:
    """One observation of a 64×48 frame, in a batch of one."""
    dims = {"left_arm": 7, "left_hand": 6, "right_arm": 7, "right_hand": 6, "waist": 3}
    return {
        "video": {"ego_view": np.zeros((1, 1, 64, 48, 3), np.uint8)},
        "state": {
            name: np.full((1, 1, dim), index, np.float32)
            for index, (name, dim) in enumerate(dims.items())
        },
        "language": {"annotation.human.task_description": [["transfer the cube"]]},
    }
