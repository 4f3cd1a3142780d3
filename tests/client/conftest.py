"""A policy server of a few lines on a free port, that does what a test tells it to."""

from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import grpc
import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.policy import Policy
from handover_proto.policy_pb2_grpc import (
    PolicyServiceServicer,
    add_PolicyServiceServicer_to_server,
)
from handover_proto.types import (
    ActionChunk,
    ActionSpec,
    CameraSpec,
    Limits,
    Observation,
    PolicySpec,
    ServerInfo,
    StateSpec,
)
from handover_proto.wire import decode_request, encode_chunk, encode_info

HORIZON = 4
SPEC = PolicySpec(
    policy="scripted",
    cameras=(CameraSpec("top"),),
    state=(StateSpec("arm", 3, unit="rad"), StateSpec("hand", 1)),
    action=(ActionSpec("arm", 3, relative=True, unit="rad"), ActionSpec("hand", 1)),
    horizon=HORIZON,
    rate_hz=20.0,
    checkpoint_name="tiny",
    checkpoint_hash="c0ffee" * 4,
)

Answer = Callable[[pb.InferRequest, grpc.ServicerContext], pb.InferReply]


def hold(request: pb.InferRequest, context: grpc.ServicerContext) -> pb.InferReply:
    """Answer with the state, held for the whole chunk."""
    state = request.observation.state
    action = {
        name: np.repeat(np.frombuffer(state[name].data, "<f4")[None], HORIZON, axis=0)
        for name in state
    }
    return encode_chunk(ActionChunk(action, request.seed, request.sequence, request.client_tag))


@dataclass
class ScriptedServicer(PolicyServiceServicer):
    """Answers with what the test put into its fields; counts its calls."""

    info: pb.GetInfoReply
    answer: Answer = hold
    calls: list[pb.InferRequest] = field(default_factory=list)

    def GetInfo(self, request, context):
        return self.info

    def Infer(self, request, context):
        self.calls.append(request)
        return self.answer(request, context)

    def InferStream(self, request_iterator, context):
        for request in request_iterator:
            self.calls.append(request)
            yield self.answer(request, context)


@dataclass
class RunningServer:
    """A scripted server, and where it is."""

    servicer: ScriptedServicer
    server: grpc.Server
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def spec() -> PolicySpec:
    return SPEC


@pytest.fixture
def start_server() -> Iterator[Callable[..., RunningServer]]:
    """Start servers that end with the test: start_server(answer=…, info=…, handlers=(), tls=…)."""
    running = []

    def start(answer=hold, info=None, port=0, handlers=(), tls=None) -> RunningServer:
        info = info or encode_info(ServerInfo(SPEC, Limits()))
        server = grpc.server(futures.ThreadPoolExecutor(4))
        servicer = ScriptedServicer(info, answer)
        add_PolicyServiceServicer_to_server(servicer, server)
        if handlers:
            server.add_generic_rpc_handlers(handlers)
        address = f"127.0.0.1:{port}"
        port = server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
        server.start()
        running.append(server)
        return RunningServer(servicer, server, port)

    yield start
    for server in running:
        server.stop(grace=0).wait(60)


@pytest.fixture
def observation() -> Observation:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    state = {
        "arm": np.array([[0.1, -0.2, 0.3]], np.float32),
        "hand": np.array([[1.0]], np.float32),
    }
    return Observation({"top": [image]}, state, "put the cube into the box")


@pytest.fixture(scope="session")
def aloha_dataset(tmp_path_factory) -> Path:
    """The shipped recordings of the ALOHA, converted: 2 episodes of 160 steps at 20 Hz."""
    pytest.importorskip("av", reason="the dataset reader needs the extra replay")
    pytest.importorskip("pyarrow")
    from handover_conversion.pipeline.command import main
    from handover_conversion.pipeline.config import ConvertConfig

    output = tmp_path_factory.mktemp("groot") / "transfer_cube"
    source = Path(__file__).parents[1] / "data/aloha_sim_transfer_cube"
    main(ConvertConfig(source=str(source), output=output, image_size=64, workers=1))
    return output


@pytest.fixture
def serve_policy(start_server) -> Callable[..., RunningServer]:
    """Serve a policy of the contract: serve_policy(policy, before=…)."""

    def serve(policy: Policy, before=lambda request, context: None) -> RunningServer:
        limits = Limits()

        def answer(message, context):
            before(message, context)
            request = decode_request(message, policy.spec, limits)
            (output,) = policy.infer([request])
            return encode_chunk(
                ActionChunk(
                    output.action,
                    request.seed or 0,
                    request.sequence,
                    request.client_tag,
                    output.durations,
                    policy.spec.checkpoint_hash,
                )
            )

        return start_server(answer=answer, info=encode_info(ServerInfo(policy.spec, limits)))

    return serve


@dataclass
class FakeEpisode:
    """One episode of FakeRecordings."""

    state: np.ndarray
    action: np.ndarray

    def task_at(self, row: int) -> str:
        return f"task of row {row}"


@dataclass
class FakeEntry:
    """One line of FakeRecordings' list."""

    index: int
    length: int


class FakeRecordings:
    """A dataset in memory: an arm of 2 joints and a gripper, state and action random."""

    path = Path("fake")
    fps = 10.0
    cameras = ("wrist",)
    state_groups: ClassVar = {"arm": slice(0, 2), "gripper": slice(2, 3)}
    action_groups: ClassVar = {"gripper": slice(0, 1), "arm": slice(1, 3)}
    spec = PolicySpec(
        policy="scripted",
        cameras=(CameraSpec("wrist"),),
        state=(StateSpec("arm", 2), StateSpec("gripper", 1)),
        action=(ActionSpec("arm", 2), ActionSpec("gripper", 1)),
        horizon=4,
        rate_hz=10.0,
        supports_seed=True,
    )

    def __init__(self, lengths=(10, 6, 3)) -> None:
        random = np.random.default_rng(0)
        self.episodes = [FakeEntry(3 * place, length) for place, length in enumerate(lengths)]
        self.rows = {
            entry.index: FakeEpisode(
                *random.uniform(-1, 1, (2, entry.length, 3)).astype(np.float32)
            )
            for entry in self.episodes
        }

    def read_episode(self, index, language_key=None):
        assert language_key is None  # the spec names none
        return self.rows[index]

    def check_instructions(self, index, language_key=None):
        assert index in self.rows

    def read_frames(self, index, camera, rows=None):
        for row in rows:
            yield np.full((4, 5, 3), row, np.uint8)

    def content_hash(self):
        return "da7a" * 16


@pytest.fixture
def recordings() -> FakeRecordings:
    return FakeRecordings()
