"""A policy server that swings both arms, or misbehaves as a file tells it: for tries of `drive`.

    python benchmarks/robots/moving_policy.py --mode FILE

A gRPC server of a few lines, because our own would refuse to send most of this. FILE holds one
word, read for every request, so that a test may change it while a robot is driven:

    swing   every arm joint to and fro around where it was at the first request
    slow    the same, each answer a second late
    jump    from one side to the other and back, at each step of a chunk
    range   as far out as the client lets an answer be
    wild    other numbers at each step, as far out
    nan     not a number
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from handover_proto import (
    ALOHA_JOINTS,
    ARM_JOINTS,
    GR1_DIMS,
    GRIPPER_JOINTS,
    ActionChunk,
    ActionSpec,
    CameraSpec,
    Limits,
    PolicySpec,
    ServerInfo,
    StateSpec,
    aloha_targets,
    split_groups,
    widen,
)
from handover_proto import policy_pb2 as pb
from handover_proto.policy_pb2_grpc import (
    PolicyServiceServicer,
    add_PolicyServiceServicer_to_server,
)
from handover_proto.wire import decode_request, encode_chunk, encode_info

STEPS, RATE_HZ = 16, 20.0
SWING_RAD, SWING_HZ, SLOW_S = 0.15, 0.2, 1.0
FAR_RAD, FAR_GRIPPER = 6.0, 1.9  # near the client's own bounds
_UNITS = {"left_hand": "0 closed … 1 open", "right_hand": "0 closed … 1 open"}

SPEC = PolicySpec(
    policy="moving",
    cameras=(CameraSpec("ego_view"),),
    state=tuple(StateSpec(name, dim, 1, _UNITS.get(name, "rad")) for name, dim in GR1_DIMS.items()),
    action=tuple(
        ActionSpec(name, dim, False, _UNITS.get(name, "rad")) for name, dim in GR1_DIMS.items()
    ),
    horizon=STEPS,
    rate_hz=RATE_HZ,
    checkpoint_name="moving",
    checkpoint_hash="c0ffee" * 4,
)


class MovingPolicy(PolicyServiceServicer):
    """Answers with what the mode's file says."""

    def __init__(self, mode: Path, centre: np.ndarray | None) -> None:
        self._mode, self._centre = mode, centre
        self._random = np.random.default_rng(0)

    def GetInfo(self, request: Any, context: grpc.ServicerContext) -> pb.GetInfoReply:
        """Tell the spec."""
        return encode_info(ServerInfo(SPEC, Limits()))

    def Infer(self, request: pb.InferRequest, context: grpc.ServicerContext) -> pb.InferReply:
        """Answer a request."""
        asked = decode_request(request, SPEC, Limits())
        if self._centre is None:
            now = {name: values[-1:] for name, values in asked.observation.state.items()}
            self._centre = aloha_targets(now)[0]
        mode = self._mode.read_text().strip()
        if mode == "slow":
            time.sleep(SLOW_S)
        chunk = split_groups(widen(self.targets(mode, self._centre)))
        return encode_chunk(
            ActionChunk(
                chunk,
                request.seed,
                request.sequence,
                request.client_tag,
                checkpoint_hash=SPEC.checkpoint_hash,
            )
        )

    def targets(self, mode: str, centre: np.ndarray) -> np.ndarray:
        """Return a chunk, (16, 14): rad, grippers 0 … 1."""
        steps = np.arange(STEPS)[:, None]
        arms, grippers = list(ARM_JOINTS), list(GRIPPER_JOINTS)
        chunk = np.repeat(np.asarray(centre, np.float64)[None], STEPS, axis=0)
        if mode in ("swing", "slow"):
            phase = 2 * np.pi * SWING_HZ * (time.monotonic() + steps / RATE_HZ)
            chunk[:, arms] += SWING_RAD * np.sin(phase)
            chunk[:, grippers] = 0.5 + 0.4 * np.sin(phase)
        elif mode == "jump":
            chunk[:, arms] += 2.0 * (-1.0) ** steps
            chunk[:, grippers] = steps % 2
        elif mode == "range":
            chunk[:, arms], chunk[:, grippers] = FAR_RAD, FAR_GRIPPER
        elif mode == "wild":
            chunk = self._random.uniform(-FAR_RAD, FAR_RAD, (STEPS, len(ALOHA_JOINTS)))
            chunk[:, grippers] = self._random.uniform(-0.9, FAR_GRIPPER, (STEPS, 2))
        elif mode == "nan":
            chunk[:] = np.nan
        else:
            raise ValueError(f"no such mode: {mode!r}")
        return chunk.astype(np.float32)


def main(mode: Path, port: int, centre: Sequence[float] | None) -> None:
    """Serve until the process is ended."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    policy = MovingPolicy(mode, None if centre is None else np.array(centre))
    add_PolicyServiceServicer_to_server(policy, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print(f"serving moving on 127.0.0.1:{port}", flush=True)
    parent = os.getppid()
    while server.wait_for_termination(timeout=1.0) and os.getppid() == parent:
        pass  # it returns True where its time was over


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--centre", type=float, nargs=len(ALOHA_JOINTS))
    told = parser.parse_args()
    main(told.mode, told.port, told.centre)
