"""Servers that speak openpi's and Isaac-GR00T's protocols, written from what their pages say.

openpi: docs/remote_inference.md and openpi_client's msgpack_numpy; on connect the metadata, then an
observation in and a map with actions out; an error is a traceback in a text frame, and the end.
Isaac-GR00T: getting_started/policy.md and gr00t.policy.server_client; a REP socket, msgpack, arrays
as .npy files (N1.6) or as msgpack-numpy's (N1.7), modality configs with a marker of their own.

`python other_servers.py KIND CHECKPOINT` serves a checkpoint so, without a seed from outside.
"""

import io
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np

Infer = Callable[[dict[str, Any]], dict[str, Any]]


def pack_openpi(value: Any) -> dict:
    """What openpi_client.msgpack_numpy.pack_array makes of an array."""
    return {
        b"__ndarray__": True,
        b"data": value.tobytes(),
        b"dtype": value.dtype.str,
        b"shape": value.shape,
    }


def unpack_openpi(value: dict) -> Any:
    """The way back."""
    if b"__ndarray__" in value:
        data, dtype = value[b"data"], np.dtype(value[b"dtype"])
        return np.ndarray(buffer=data, dtype=dtype, shape=value[b"shape"])
    return value


@contextmanager
def openpi_server(infer: Infer, metadata: dict[str, Any]) -> Iterator[int]:
    """Serve `infer(observation) -> {"actions": …}` as openpi's WebsocketPolicyServer; the port."""
    from websockets.sync.server import serve

    def converse(connection: Any) -> None:
        connection.send(msgpack.packb(metadata, default=pack_openpi))
        for data in connection:
            try:
                answer = infer(msgpack.unpackb(data, object_hook=unpack_openpi))
            except Exception:
                connection.send(traceback.format_exc())
                connection.close(1011, "Internal server error.")
                return
            answer["server_timing"] = {"infer_ms": 1.0}
            connection.send(msgpack.packb(answer, default=pack_openpi))

    with serve(converse, "127.0.0.1", 0, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.socket.getsockname()[1]
        server.shutdown()


def pack_groot16(value: Any) -> dict:
    """What N1.6's MsgSerializer makes of an array."""
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": file.getvalue()}


def pack_groot17(value: Any) -> dict:
    """What msgpack_numpy, which N1.7 uses, makes of an array."""
    return {
        b"nd": True,
        b"type": value.dtype.str,
        b"kind": b"",
        b"shape": value.shape,
        b"data": value.tobytes(),
    }


def unpack_groot16(value: dict) -> Any:
    """N1.6's way back."""
    if "__ndarray_class__" in value:
        return np.load(io.BytesIO(value["as_npy"]), allow_pickle=False)
    return value


def unpack_groot17(value: dict) -> Any:
    """msgpack_numpy's way back: its arrays alone."""
    if value.get(b"nd") is True:
        array = np.frombuffer(value[b"data"], np.dtype(value[b"type"]))
        return array.reshape(value[b"shape"])
    return value


@contextmanager
def groot_server(
    infer: Callable[..., Any], configs: dict[str, Any], version: str, token: str | None = None
) -> Iterator[int]:
    """Serve `infer(observation, options) -> (action, info)` as PolicyServer does; the port."""
    import zmq

    marker, pack, unpack = {
        "1.6": ("__ModalityConfig_class__", pack_groot16, unpack_groot16),
        "1.7": ("__ModalityConfig__", pack_groot17, unpack_groot17),
    }[version]
    told = {name: {marker: True, "as_json": config} for name, config in configs.items()}
    endpoints: dict[str, Callable[..., Any]] = {
        "ping": lambda: {"status": "ok", "message": "Server is running"},
        "reset": lambda options=None: {},
        "get_modality_config": lambda: told,
        "get_action": infer,
    }
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    ended = threading.Event()

    def answer(request: dict[str, Any]) -> Any:
        if token is not None and request.get("api_token") != token:
            return {"error": "Unauthorized: Invalid API token"}
        try:
            endpoint = request.get("endpoint", "get_action")
            if endpoint not in endpoints:
                raise ValueError(f"Unknown endpoint: {endpoint}")
            return endpoints[endpoint](**request.get("data", {}))
        except Exception as error:
            return {"error": str(error)}

    def run() -> None:
        while not ended.is_set():
            if socket.poll(50):
                request = msgpack.unpackb(socket.recv(), object_hook=unpack)
                socket.send(msgpack.packb(answer(request), default=pack))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        ended.set()
        thread.join()
        context.destroy(linger=0)


def modality(names: Any, steps: list[int]) -> dict[str, Any]:
    """A ModalityConfig as JSON."""
    return {"delta_indices": steps, "modality_keys": list(names), "action_configs": None}


def serve_checkpoint(kind: str, checkpoint: str) -> None:
    """Serve a checkpoint until the input ends: the policy is real, the wire theirs."""
    from handover_model import load_policy
    from handover_proto import Observation, PolicyRequest, aloha_state_groups, aloha_targets

    policy = load_policy(checkpoint)
    spec = policy.spec
    camera = spec.cameras[0].name

    def ask(frame: np.ndarray, state: dict[str, np.ndarray], task: str) -> Any:
        observation = Observation({camera: [np.ascontiguousarray(frame)]}, state, task)
        (output,) = policy.infer([PolicyRequest(observation, seed=0)])
        return output.action

    def openpi(observation: dict[str, Any]) -> dict[str, Any]:
        frame = observation["images"]["cam_high"].transpose(1, 2, 0)
        groups = aloha_state_groups(observation["state"])
        return {"actions": aloha_targets(ask(frame, groups, observation["prompt"]))}

    def groot(observation: dict[str, Any], options: Any = None) -> Any:
        state = {name: values[0] for name, values in observation["state"].items()}
        (task,) = observation["language"]["annotation.human.task_description"][0]
        action = ask(observation["video"][camera][0, 0], state, task)
        return {name: values[None] for name, values in action.items()}, {}

    configs = {
        "video": modality([camera], [0]),
        "state": modality([group.name for group in spec.state], [0]),
        "action": modality([group.name for group in spec.action], list(range(spec.horizon))),
        "language": modality(["annotation.human.task_description"], [0]),
    }
    servers = {
        "openpi": lambda: openpi_server(openpi, {"reset_pose": [0.0] * 14}),
        "groot1.6": lambda: groot_server(groot, configs, "1.6"),
        "groot1.7": lambda: groot_server(groot, configs, "1.7"),
    }
    with servers[kind]() as port:
        print(f"{kind} on 127.0.0.1:{port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve_checkpoint(*sys.argv[1:])
