"""What a round trip costs without a model: ours beside ZMQ and websocket servers, in one run.

    python -m benchmarks.serving.transport            (extras serve and bench)

Each server is a process of its own on this machine and does the same work: decode one camera frame
and 29 state values into arrays, give 16 × 29 values back. Bare gRPC, in the same run, is the floor:
what ours takes beyond it is what our server and client add. Every system takes its turn in every
round, so that all see the same machine.
"""

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from handover_common import package_versions
from handover_proto.embodiment import GR1_DIMS, aloha_state_groups
from handover_proto.types import ActionChunk, EncodedImage, ImageCodec, Observation
from handover_proto.wire.codec import compress

from benchmarks.harness.docs_table import markdown, write_table
from benchmarks.harness.result_file import FOLDER, write_result
from benchmarks.serving.transport_systems import (
    KEEPING,
    RAW_ALONE,
    WORK,
    Ask,
    Systems,
    gateways,
    grpc_systems,
    websocket_peer,
    zmq_peer,
)

PACKAGES = ("grpcio", "protobuf", "pyzmq", "websockets", "msgpack")
CAMERA = "ego_view"
SIZES = ((256, 256), (480, 640))
FRAMES = ("raw", "jpeg")
OURS = ("handover unary", "handover stream")
MOST_ADDED_MS = 1.0
HEADER = ("median, ms", *WORK)
GOAL_PEERS = ("zmq", "websocket", *RAW_ALONE)  # as people run them, and ours behind the same wires


@dataclass(frozen=True)
class TransportConfig:
    """Measure round trips with a policy that computes nothing."""

    starts: int = 4
    """How often all servers are started: what a server's memory costs it, differs by start."""
    rounds: int = 5
    """Turns of each system in each case, of each start."""
    requests: int = 50
    """Round trips in a turn."""
    warm_up: int = 10
    """Round trips before a turn's first that counts."""
    table: bool = False
    """Only write the table of the last results into docs/serving.md."""


@dataclass
class Taken:
    """One system's round trips in one case, and what our server says of its own part in them."""

    round_trips_ms: list[float] = dataclasses.field(default_factory=list)
    starts_p50_ms: list[float] = dataclasses.field(default_factory=list)
    server_ms: list[float] = dataclasses.field(default_factory=list)

    def turn(self, ask: Ask, config: TransportConfig) -> None:
        """Ask as often as the config says."""
        for _ in range(config.warm_up):
            ask()
        for _ in range(config.requests):
            began = time.perf_counter()
            answer = ask()
            self.round_trips_ms.append((time.perf_counter() - began) * 1e3)
            if isinstance(answer, ActionChunk):
                self.server_ms.append(answer.durations.total_ms)


def observe(size: tuple[int, int], kind: str) -> Observation:
    """A frame with edges and grain, so that JPEG has a camera's work to do."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    grain = np.random.default_rng(0).integers(0, 16, (*size, 3))
    scene = np.stack([rows // 2, columns // 3, (rows // 32 + columns // 32) % 2 * 120], axis=-1)
    frame = (scene % 240 + grain).astype(np.uint8)
    state = aloha_state_groups(np.linspace(-1, 1, 14, dtype=np.float32))
    sent = frame if kind == "raw" else compress(frame, ImageCodec.JPEG)
    return Observation({CAMERA: [sent]}, state, "transfer the cube")


Case = tuple[tuple[int, int], str]  # size and kind of the frame


def measure(systems: Systems, config: TransportConfig, taken: dict[Case, dict[str, Taken]]) -> None:
    """Every system in every case, for one start of the servers."""
    for (size, kind), of_case in taken.items():
        observation = observe(size, kind)
        asks = {name: systems[name](observation) for name in of_case}
        done = len(of_case[OURS[0]].round_trips_ms)
        for _ in range(config.rounds):
            for name, ask in asks.items():
                of_case[name].turn(ask, config)
        for each in of_case.values():
            each.starts_p50_ms.append(round(float(np.median(each.round_trips_ms[done:])), 3))


def summary(name: str, case: Case, taken: Taken) -> dict[str, Any]:
    """What the file says of a system in a case."""
    p50, p95, p99 = np.percentile(taken.round_trips_ms, [50, 95, 99])
    (height, width), kind = case
    (frame,) = observe(*case).cameras[CAMERA]
    figures = {
        "system": name,
        "height": height,
        "width": width,
        "frame": kind,
        "frame_bytes": len(frame.data) if isinstance(frame, EncodedImage) else frame.nbytes,
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "p50_ms_of_each_start": taken.starts_p50_ms,
        "requests": len(taken.round_trips_ms),
    }
    if taken.server_ms:
        figures["server_stages_p50_ms"] = round(float(np.median(taken.server_ms)), 3)
    return figures


def goals(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Hold the figures against what we set out to reach."""
    p50 = {(case["system"], case["height"], case["frame"]): case["p50_ms"] for case in cases}
    added = {
        f"{height}x{width} {kind}, {way}": round(
            p50[f"handover {way}", height, kind] - p50[f"bare gRPC {way}", height, kind], 3
        )
        for height, width in SIZES
        for kind in FRAMES
        for way in ("unary", "stream")
    }
    return {
        "added_by_the_server": {
            "what": "p50 of ours less p50 of bare gRPC with the same bytes: all that our server "
            "does, and our client too (packing, checking, unpacking)",
            "p50_ms": added,
            "goal_ms": MOST_ADDED_MS,
            "reached": all(
                added[f"256x256 raw, {way}"] <= MOST_ADDED_MS for way in ("unary", "stream")
            ),
        },
        "480x640_no_slower_than": {
            f"{kind}, {ours}": {
                peer: compare(p50[ours, 480, kind], p50[peer, 480, kind])
                for peer in WORK
                if "gRPC" not in peer and peer not in OURS and (peer, 480, kind) in p50
            }
            for kind in FRAMES
            for ours in OURS
        },
    }


def compare(ours_ms: float, peer_ms: float) -> dict[str, Any]:
    """Tell how many times the peer's time ours is."""
    return {"ratio": round(ours_ms / peer_ms, 2), "reached": ours_ms <= peer_ms}


def main(config: TransportConfig) -> None:
    """Measure every case, print a table, write results/transport.json and the docs' part."""
    if config.table:
        content = json.loads((FOLDER / "transport.json").read_text(encoding="utf-8"))
        write_table("transport", page_part(content))
        return
    taken: dict[Case, dict[str, Taken]] = {
        (size, kind): {name: Taken() for name in WORK if kind == "raw" or name not in RAW_ALONE}
        for size in SIZES
        for kind in FRAMES
    }
    for _ in range(config.starts):
        with contextlib.ExitStack() as stack:
            systems: Systems = {
                **stack.enter_context(grpc_systems()),
                **stack.enter_context(zmq_peer("zmq")),
                **stack.enter_context(zmq_peer("zmq, memory kept", **KEEPING)),
                **stack.enter_context(websocket_peer("websocket")),
                **stack.enter_context(websocket_peer("websocket, memory kept", **KEEPING)),
                **stack.enter_context(gateways()),
            }
            measure(systems, config, taken)
    cases = [
        summary(name, case, each)
        for case, of_case in taken.items()
        for name, each in of_case.items()
    ]
    content = {
        "what": "round trips over loopback in ms; every server decodes the observation "
        f"into arrays and answers 16 x {sum(GR1_DIMS.values())} float32",
        "systems": WORK,
        "config": {name: value for name, value in vars(config).items() if name != "table"},
        "packages": package_versions(PACKAGES),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "goals": goals(cases),
        "cases": cases,
    }
    print(page_part(content))
    print(write_result("transport", content))
    write_table("transport", page_part(content))


def page_part(content: dict[str, Any]) -> str:
    """The medians, a line for each size and kind of frame, and where the goals stand."""
    rows = []
    for height, width in SIZES:
        for kind in FRAMES:
            here = {
                case["system"]: f"{case['p50_ms']:.2f}"
                for case in content["cases"]
                if (case["height"], case["frame"]) == (height, kind)
            }
            rows.append((f"{height}×{width} {kind}", *(here.get(name, "–") for name in WORK)))
    added, times = content["goals"].values()
    call, stream = (added["p50_ms"][f"256x256 raw, {way}"] for way in ("unary", "stream"))
    lines = [
        f"- One raw 256×256 frame, added to bare gRPC: {call:.2f} ms a call, {stream:.2f} ms on a "
        f"stream. Goal {added['goal_ms']:g} ms: {_reached(added['reached'])}.",
        *(
            f"- 480×640 {case} beside "
            + ", ".join(
                f"{peer}: {against['ratio']:.2f} times its time, {_reached(against['reached'])}"
                for peer, against in peers.items()
                if peer in GOAL_PEERS
            )
            + "."
            for case, peers in times.items()
        ),
    ]
    return markdown(HEADER, rows) + "\n\n" + "\n".join(lines)


def _reached(reached: bool) -> str:
    return "reached" if reached else "**missed**"


if __name__ == "__main__":
    main(tyro.cli(TransportConfig))
