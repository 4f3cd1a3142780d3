"""What a round trip costs without a model: ours beside ZMQ and websocket servers, in one run.

    python benchmarks/transport.py            (extras serve and bench)

Each server is a process of its own on this machine and does the same work: decode one camera frame
and 29 state values into arrays, give 16 × 29 values back. Ours is `handover serve --policy hold`
with its checks, asked by PolicyClient with its checks. Every system takes its turn in every round,
so that all see the same machine.
"""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgpack
import numpy as np
import tyro
from handover_client.policy_client import PolicyClient
from handover_proto.codec import compress
from handover_proto.contract import EncodedImage, ImageCodec, Observation
from handover_proto.embodiment import GR1_DIMS, aloha_state_groups
from result_file import write_result
from transport_peers import MAX_BYTES, pack_npy, pack_raw, unpack_npy, unpack_raw

PEERS = Path(__file__).parent / "transport_peers.py"
PACKAGES = ("grpcio", "protobuf", "pyzmq", "websockets", "msgpack")
TIMEOUT_S = 20.0
CAMERA = "ego_view"
SIZES = ((256, 256), (480, 640))
FRAMES = ("raw", "jpeg")

Ask = Callable[[Observation], object]


@dataclass(frozen=True)
class TransportConfig:
    """Measure round trips with a policy that computes nothing."""

    rounds: int = 10
    """Turns of each system in each case."""
    requests: int = 100
    """Round trips in a turn."""
    warm_up: int = 30
    """Round trips before a turn's first that counts."""


@contextlib.contextmanager
def process(*command: str) -> Iterator[str]:
    """Run a server; gives the line that it prints once it listens."""
    server = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(command)} did not start")
        yield line
    finally:
        server.terminate()
        server.wait(TIMEOUT_S)


@contextlib.contextmanager
def ours() -> Iterator[dict[str, Ask]]:
    """Unary calls and a stream, on one connection."""
    with process("-m", "handover_server.serve", "--policy", "hold", "--port", "0") as line:
        found = re.search(r"on (\S+)$", line)
        assert found, line
        with PolicyClient.connect(found[1]) as client, client.stream() as stream:

            def ask_stream(observation: Observation) -> object:
                stream.send(observation, sequence=1)
                return stream.receive(timeout_s=TIMEOUT_S)

            yield {"handover unary": client.infer, "handover stream": ask_stream}


@contextlib.contextmanager
def zmq_peer() -> Iterator[dict[str, Ask]]:
    """A REQ socket."""
    import zmq

    with process(str(PEERS), "zmq") as port:
        context = zmq.Context()
        socket = context.socket(zmq.REQ)
        socket.connect(f"tcp://127.0.0.1:{int(port)}")

        def ask(observation: Observation) -> object:
            socket.send(packed(observation, pack_npy))
            reply = msgpack.unpackb(socket.recv())
            return {name: unpack_npy(values) for name, values in reply.items()}

        yield {"zmq msgpack npy": ask}
        socket.close(linger=0)
        context.term()


@contextlib.contextmanager
def websocket_peer() -> Iterator[dict[str, Ask]]:
    """A blocking websocket client, as openpi's."""
    from websockets.sync.client import connect

    with process(str(PEERS), "websocket") as port:
        address = f"ws://127.0.0.1:{int(port)}"
        with connect(address, compression=None, max_size=MAX_BYTES, proxy=None) as connection:

            def ask(observation: Observation) -> object:
                connection.send(packed(observation, pack_raw))
                reply = msgpack.unpackb(connection.recv())
                return {name: unpack_raw(values) for name, values in reply.items()}

            yield {"websocket msgpack": ask}


def packed(observation: Observation, pack: Callable) -> bytes:
    """The observation as the peers take it."""
    (frame,) = observation.cameras[CAMERA]
    return msgpack.Packer().pack(
        {
            "frame": frame.data if isinstance(frame, EncodedImage) else pack(frame),
            "state": {name: pack(values) for name, values in observation.state.items()},
            "task": observation.task,
        }
    )


def observe(size: tuple[int, int], kind: str) -> Observation:
    """A frame with edges and grain, so that JPEG has a camera's work to do."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    grain = np.random.default_rng(0).integers(0, 16, (*size, 3))
    scene = np.stack([rows // 2, columns // 3, (rows // 32 + columns // 32) % 2 * 120], axis=-1)
    frame = (scene % 240 + grain).astype(np.uint8)
    state = aloha_state_groups(np.linspace(-1, 1, 14, dtype=np.float32))
    sent = frame if kind == "raw" else compress(frame, ImageCodec.JPEG)
    return Observation({CAMERA: [sent]}, state, "transfer the cube")


def turn(ask: Ask, observation: Observation, config: TransportConfig) -> list[float]:
    """Round trips of one turn, in milliseconds."""
    for _ in range(config.warm_up):
        ask(observation)
    taken_ms = []
    for _ in range(config.requests):
        began = time.perf_counter()
        ask(observation)
        taken_ms.append((time.perf_counter() - began) * 1e3)
    return taken_ms


def main(config: TransportConfig) -> None:
    """Measure every case, print a table, write results/transport.json."""
    cases = []
    with ours() as handover, zmq_peer() as zmq, websocket_peer() as websocket:
        systems: dict[str, Ask] = {**handover, **zmq, **websocket}
        print(f"{'round trip, ms':<34}{'p50':>8}{'p95':>8}{'p99':>8}")
        for size in SIZES:
            for kind in FRAMES:
                observation = observe(size, kind)
                taken: dict[str, list[float]] = {name: [] for name in systems}
                for _ in range(config.rounds):
                    for name, ask in systems.items():
                        taken[name] += turn(ask, observation, config)
                for name, taken_ms in taken.items():
                    cases.append(summary(name, size, kind, observation, taken_ms))
    written = write_result(
        "transport",
        {
            "what": "round trips over loopback in ms; every server decodes the observation "
            f"into arrays and answers 16 x {sum(GR1_DIMS.values())} float32",
            "config": dataclasses.asdict(config),
            "packages": {name: version(name) for name in PACKAGES},
            "cases": cases,
        },
    )
    print(written)


def summary(
    name: str, size: tuple[int, int], kind: str, observation: Observation, taken_ms: list[float]
) -> dict[str, object]:
    """One line of the table, and the same for the file."""
    p50, p95, p99 = np.percentile(taken_ms, [50, 95, 99])
    print(
        f"{f'{size[0]}x{size[1]} {kind:<5} {name}':<34}{p50:8.2f}{p95:8.2f}{p99:8.2f}", flush=True
    )
    (frame,) = observation.cameras[CAMERA]
    return {
        "system": name,
        "height": size[0],
        "width": size[1],
        "frame": kind,
        "frame_bytes": len(frame.data) if isinstance(frame, EncodedImage) else frame.nbytes,
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "requests": len(taken_ms),
    }


if __name__ == "__main__":
    main(tyro.cli(TransportConfig))
