"""What the transport benchmark asks: ours, a gRPC call that does nothing, ZMQ and websockets.

Each system is prepared with an observation and then asked as often as one likes; what is prepared
packs, sends, receives and unpacks, but for bare gRPC, which sends bytes that were packed before.
"""

import contextlib
import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import grpc
import msgpack
import numpy as np
from handover_client.connection.channel import CHANNEL_OPTIONS
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.requests import seal
from handover_proto.msgpack_wire import npy, openpi_array
from handover_proto.types import EncodedImage, ImageCodec, Observation, PolicyRequest

from benchmarks.harness.server_process import ServerProcess, server_process
from benchmarks.serving.transport_peers import MAX_BYTES, pack_npy, pack_raw, unpack_npy, unpack_raw

PEERS = Path(__file__).parent / "transport_peers.py"
TIMEOUT_S = 20.0
# What our server sets for itself (handover_server.inference.memory), for peers as glibc reads it.
KEPT_BYTES = str(32 * 1024 * 1024)
KEEPING = {"MALLOC_TRIM_THRESHOLD_": KEPT_BYTES, "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES}

Ask = Callable[[], object]
Systems = dict[str, Callable[[Observation], Ask]]

WORK = {
    "handover unary": "PolicyClient.infer and `handover serve --policy hold`, as shipped: the "
    "client checks, packs, checks the reply; the server counts the message's parts, parses, "
    "decodes into arrays, checks, queues, runs the policy in its own thread, checks its output, "
    "packs",
    "handover stream": "the same on one InferStream",
    "bare gRPC unary": "the floor: grpc.aio with a generic handler and no serialisers; the same "
    "bytes as ours, packed once and never looked at, answered by as many bytes as ours",
    "bare gRPC stream": "the same on one stream",
    "zmq": "REQ and REP, msgpack with arrays as .npy files, as Isaac-GR00T: unpack, decode into "
    "arrays, repeat the state, pack; on the client pack and unpack; one thread, nothing is checked",
    "websocket": "websockets' blocking client and asyncio server, msgpack with arrays as bytes, as "
    "openpi: the same work as zmq",
    "zmq, memory kept": "zmq, its server with glibc's thresholds as our server sets its own",
    "websocket, memory kept": "websocket, its server with those thresholds",
    "gateway zmq": "`handover serve --groot-zmq-port`: our server's whole work, by Isaac-GR00T's "
    "protocol, which has raw frames alone; the client packs and unpacks",
    "gateway websocket": "`handover serve --openpi-port`: the same by openpi's protocol",
}
RAW_ALONE = ("gateway zmq", "gateway websocket")


@contextlib.contextmanager
def grpc_systems() -> Iterator[Systems]:
    """Ours, and bare gRPC with the same bytes: unary calls and a stream of each."""
    with (
        _server("-m", "handover_server.serve.command", "--policy", "hold", "--port", "0") as ours,
        _server(str(PEERS), "grpc") as bare_server,
        PolicyClient.connect(ours.address) as client,
        client.stream() as stream,
        grpc.insecure_channel(f"127.0.0.1:{bare_server.address}", CHANNEL_OPTIONS) as channel,
    ):

        def ask_stream(observation: Observation) -> object:
            stream.send(observation, sequence=1)
            return stream.receive(timeout_s=TIMEOUT_S).result()

        def message(observation: Observation) -> bytes:
            request = PolicyRequest(observation)
            return seal(request, client.info, ImageCodec.RAW_RGB8).data

        bare, waiting = channel.unary_unary("/bare/Echo"), queue.SimpleQueue()
        replies = channel.stream_stream("/bare/EchoStream")(iter(waiting.get, None))

        def ask_bare_stream(data: bytes) -> object:
            waiting.put(data)
            return next(replies)

        yield {
            "handover unary": lambda seen: partial(client.infer, seen),
            "handover stream": lambda seen: partial(ask_stream, seen),
            "bare gRPC unary": lambda seen: partial(bare, message(seen), timeout=TIMEOUT_S),
            "bare gRPC stream": lambda seen: partial(ask_bare_stream, message(seen)),
        }
        replies.cancel()
        waiting.put(None)


@contextlib.contextmanager
def zmq_peer(name: str, **environment: str) -> Iterator[Systems]:
    """A REQ socket."""
    import zmq

    with _server(str(PEERS), "zmq", **environment) as server:
        context = zmq.Context()
        socket = context.socket(zmq.REQ)
        socket.connect(f"tcp://127.0.0.1:{server.address}")

        def ask(observation: Observation) -> object:
            socket.send(packed(observation, pack_npy))
            reply = msgpack.unpackb(socket.recv())
            return {name: unpack_npy(values) for name, values in reply.items()}

        yield {name: lambda seen: partial(ask, seen)}
        socket.close(linger=0)
        context.term()


@contextlib.contextmanager
def websocket_peer(name: str, **environment: str) -> Iterator[Systems]:
    """A blocking websocket client, as openpi's."""
    from websockets.sync.client import connect

    with _server(str(PEERS), "websocket", **environment) as server:
        address = f"ws://127.0.0.1:{server.address}"
        with connect(address, compression=None, max_size=MAX_BYTES, proxy=None) as connection:

            def ask(observation: Observation) -> object:
                connection.send(packed(observation, pack_raw))
                reply = msgpack.unpackb(connection.recv())
                return {name: unpack_raw(values) for name, values in reply.items()}

            yield {name: lambda seen: partial(ask, seen)}


@contextlib.contextmanager
def gateways() -> Iterator[Systems]:
    """Our server asked by its other protocols, as openpi's and Isaac-GR00T's clients ask it."""
    import zmq
    from websockets.sync.client import connect

    serve = ("-m", "handover_server.serve.command", "--policy", "hold", "--port", "0")
    with (
        _server(*serve, "--openpi-port", "0", "--openpi-rate-hz", "20") as openpi,
        _server(*serve, "--groot-zmq-port", "0") as groot,
        connect(
            f"ws://{openpi.address}", compression=None, max_size=MAX_BYTES, proxy=None
        ) as connection,
        zmq.Context() as context,
        context.socket(zmq.REQ) as socket,
    ):
        connection.recv(TIMEOUT_S)  # the metadata
        socket.connect(f"tcp://{groot.address}")

        def ask_openpi(message: object) -> object:
            connection.send(msgpack.packb(message, default=openpi_array))
            return msgpack.unpackb(connection.recv(TIMEOUT_S))["actions"]

        def ask_groot(message: object) -> object:
            socket.send(msgpack.packb(message, default=npy))
            action, _ = msgpack.unpackb(socket.recv())
            return action

        yield {
            "gateway zmq": lambda seen: partial(ask_groot, _as_groot(seen)),
            "gateway websocket": lambda seen: partial(ask_openpi, _as_openpi(seen)),
        }


def _as_openpi(observation: Observation) -> dict[str, object]:
    ((frame,),) = observation.cameras.values()
    picture = np.ascontiguousarray(np.moveaxis(frame, -1, 0))  # channels first, as openpi has them
    return {"state": np.zeros(14), "images": {"cam_high": picture}, "prompt": observation.task}


def _as_groot(observation: Observation) -> dict[str, object]:
    seen = {
        "video": {name: frames[0][None, None] for name, frames in observation.cameras.items()},
        "state": {name: values[None] for name, values in observation.state.items()},
        "language": {"annotation.human.task_description": [[observation.task]]},
    }
    return {"endpoint": "get_action", "data": {"observation": seen}}


def _server(*arguments: str, **environment: str) -> AbstractContextManager[ServerProcess]:
    environment["OMP_NUM_THREADS"] = "1"
    return server_process(sys.executable, *arguments, quiet=True, **environment)


def packed(observation: Observation, pack: Callable) -> bytes:
    """The observation as the peers take it."""
    ((frame,),) = observation.cameras.values()
    return msgpack.Packer().pack(
        {
            "frame": frame.data if isinstance(frame, EncodedImage) else pack(frame),
            "state": {name: pack(values) for name, values in observation.state.items()},
            "task": observation.task,
        }
    )
