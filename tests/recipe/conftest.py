"""Tests of the recipe's data, which is made in the simulator: they run in .venv-sim."""

from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass

import grpc
import pytest
from handover_proto import ActionChunk, Limits, Policy, ServerInfo
from handover_proto.policy_pb2_grpc import (
    PolicyServiceServicer,
    add_PolicyServiceServicer_to_server,
)
from handover_proto.wire import decode_request, encode_chunk, encode_info


@dataclass
class PolicyServicer(PolicyServiceServicer):
    """Answers every request with the policy's chunk, after `before` has seen it."""

    policy: Policy
    before: Callable[[object, grpc.ServicerContext], None]

    def GetInfo(self, request, context):
        return encode_info(ServerInfo(self.policy.spec, Limits()))

    def Infer(self, request, context):
        self.before(request, context)
        (output,) = self.policy.infer([decode_request(request, self.policy.spec, Limits())])
        return encode_chunk(
            ActionChunk(output.action, request.seed, request.sequence, request.client_tag)
        )


@dataclass(frozen=True)
class RunningServer:
    """Where a server is."""

    address: str


@pytest.fixture
def serve_policy() -> Iterator[Callable[..., RunningServer]]:
    """Serve policies until the test ends: serve_policy(policy, before=…)."""
    running: list[grpc.Server] = []

    def serve(policy: Policy, before=lambda request, context: None) -> RunningServer:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        add_PolicyServiceServicer_to_server(PolicyServicer(policy, before), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        running.append(server)
        return RunningServer(f"127.0.0.1:{port}")

    yield serve
    for server in running:
        server.stop(grace=0).wait(60)
