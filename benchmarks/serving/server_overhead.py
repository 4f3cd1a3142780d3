"""What a server adds to the policy's own work: from wire to wire, less the policy's stages.

    python -m benchmarks.serving.server_overhead [--checkpoint DIR]        (extra serve)

One client asks again once it is answered. The round trip is the client's; queue, decode and encode
are the server's own account of what it did beside the policy. Both share this machine's cores.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from handover_client.connection.policy_client import PolicyClient
from handover_proto.types import Observation, PolicySpec

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.harness.server_process import server_process
from benchmarks.inference.timing import percentiles
from benchmarks.serving.load import CHECKPOINT, SERVE

POLICY = ("preprocess_ms", "backbone_ms", "action_head_ms")
SERVER = ("queue_ms", "decode_ms", "encode_ms")
READY_S = 60.0


@dataclass(frozen=True)
class OverheadBenchmark:
    """Measure what a server adds for a raw 256×256 frame."""

    checkpoint: Path = CHECKPOINT
    """Served beside the hold policy"""
    device: str = "auto"
    start_s: float = 120.0
    """Within which a server has to answer"""
    warm_up: int = 50
    iterations: int = 500
    name: str = "server_overhead"
    """The result goes to benchmarks/results/NAME.json"""


def main(config: OverheadBenchmark) -> dict[str, Any]:
    """Measure both policies, print and write the figures."""
    others = OthersAtWork()
    shipped = ("--checkpoint", str(config.checkpoint), "--device", config.device)
    servers = {"hold": ("--policy", "hold"), "shipped": shipped}
    policies = {name: _measure(config, name, flags) for name, flags in servers.items()}
    result = {
        "what": "one client, raw 256x256 frames, ms; round trips less the policy's own stages",
        "checkpoint": config.checkpoint.name,
        "iterations": config.iterations,
        "other_processes_cores": others.cores(),
        "policies": policies,
    }
    write_result(config.name, result)
    return result


def _measure(config: OverheadBenchmark, name: str, flags: tuple[str, ...]) -> dict[str, Any]:
    trips: list[float] = []
    added: list[float] = []
    own: list[float] = []
    with (
        server_process(*SERVE, *flags, quiet=True, ready_s=config.start_s) as server,
        PolicyClient.connect(server.address) as client,
    ):
        client.wait_until_ready(READY_S)
        observation = _observation(client.info.spec)
        for iteration in range(config.warm_up + config.iterations):
            began = time.perf_counter()
            chunk = client.infer(observation, seed=iteration)
            trip_ms = 1e3 * (time.perf_counter() - began)
            if iteration >= config.warm_up:
                stages = chunk.durations
                trips.append(trip_ms)
                added.append(trip_ms - sum(getattr(stages, stage) for stage in POLICY))
                own.append(sum(getattr(stages, stage) for stage in SERVER))
    figures = {
        "round_trip_ms": percentiles(trips),
        "round_trip_less_policy_ms": percentiles(added),
        "queue_decode_encode_ms": percentiles(own),
    }
    print(f"{name}: {figures}")
    return figures


def _observation(spec: PolicySpec) -> Observation:
    frame = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    cameras = {camera.name: [frame] * camera.steps for camera in spec.cameras}
    state = {group.name: np.zeros((group.steps, group.dim), np.float32) for group in spec.state}
    return Observation(cameras, state, "Transfer the cube to the left arm.")


if __name__ == "__main__":
    main(tyro.cli(OverheadBenchmark))
