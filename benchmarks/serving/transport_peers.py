"""The servers that people have: msgpack over ZMQ or a websocket, doing the work of our hold policy.

    python -m benchmarks.serving.transport_peers zmq|websocket|grpc

Each prints its port, then answers one observation at a time: unpack, decode into arrays, repeat the
state for 16 steps, pack. Arrays travel as .npy bytes over ZMQ (as Isaac-GR00T sends them) and as
dtype, shape and bytes over the websocket (as openpi does); a JPEG travels as its file. grpc is the
floor of ours: it looks at nothing and answers as many bytes as our server.
"""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgpack
import numpy as np
from PIL import Image

HORIZON = 16
MAX_BYTES = 32 * 1024 * 1024
REPLY_BYTES = 2009  # of our hold policy's InferReply


def pack_npy(array: np.ndarray) -> dict[str, bytes]:
    """Write an array as a .npy file in memory."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return {"npy": buffer.getvalue()}


def unpack_npy(packed: Mapping[str, Any]) -> np.ndarray:
    """Undo pack_npy."""
    return np.load(io.BytesIO(packed["npy"]), allow_pickle=False)


def pack_raw(array: np.ndarray) -> dict[str, object]:
    """Write an array as its dtype, shape and bytes."""
    return {"dtype": array.dtype.str, "shape": array.shape, "data": array.tobytes()}


def unpack_raw(packed: Mapping[str, Any]) -> np.ndarray:
    """Undo pack_raw."""
    return np.frombuffer(packed["data"], packed["dtype"]).reshape(packed["shape"])


def answer(
    data: bytes,
    pack: Callable[[np.ndarray], Mapping[str, Any]],
    unpack: Callable[[Mapping[str, Any]], np.ndarray],
) -> bytes:
    """Hold the robot where the observation says it is."""
    observation = msgpack.unpackb(data)
    frame = observation["frame"]
    pixels = (
        np.asarray(Image.open(io.BytesIO(frame))) if isinstance(frame, bytes) else unpack(frame)
    )
    assert pixels.shape[2] == 3
    state = {name: unpack(values) for name, values in observation["state"].items()}
    held = {name: pack(np.repeat(values, HORIZON, axis=0)) for name, values in state.items()}
    return msgpack.Packer().pack(held)


def serve_zmq() -> None:
    """Answer over a REP socket until killed."""
    import zmq

    socket = zmq.Context.instance().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    print(port, flush=True)
    while True:
        socket.send(answer(socket.recv(), pack_npy, unpack_npy))


async def serve_websocket() -> None:
    """Answer over a websocket until killed."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handle(connection: ServerConnection) -> None:
        async for data in connection:
            assert isinstance(data, bytes)
            await connection.send(answer(data, pack_raw, unpack_raw))

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=MAX_BYTES) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def serve_grpc() -> None:
    """Answer gRPC calls, unary and streamed, until killed."""
    import grpc

    reply = bytes(REPLY_BYTES)

    async def echo(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return reply

    async def echo_stream(
        requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> None:
        async for _ in requests:
            await context.write(reply)

    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "EchoStream": grpc.stream_stream_rpc_method_handler(echo_stream),
    }
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_BYTES)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1:] == ["zmq"]:
        serve_zmq()
    elif sys.argv[1:] == ["websocket"]:
        asyncio.run(serve_websocket())
    elif sys.argv[1:] == ["grpc"]:
        asyncio.run(serve_grpc())
    else:
        sys.exit("usage: python -m benchmarks.serving.transport_peers zmq|websocket|grpc")
