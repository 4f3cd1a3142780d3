"""Real gRPC servers on free ports, and policies of numpy that do what a test tells them to."""

import asyncio
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.embodiment import aloha_state_groups
from handover_proto.errors import InvalidRequest, PolicyError
from handover_proto.policy import Policy
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import Observation, PolicyOutput, PolicyRequest, StageDurations
from handover_proto.wire.messages import ERROR_METADATA_KEY, decode_error, serialize_request
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.observer import Observer
from handover_server.requests.request import Lane, PendingRequest
from handover_server.rpc.server import PolicyServer
from handover_server.rpc.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0  # of every call; never reached where all is well
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


def encode_request(request: PolicyRequest) -> pb.InferRequest:
    """A request as its message, for tests that change it or let a stub send it."""
    return pb.InferRequest.FromString(serialize_request(request))


def wait_until(happens: Callable[[], bool]) -> None:
    """Look until it does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Kept(bytes):
    """Bytes of which can be told when they are let go: by a weak reference to what they carry."""

    def __init__(self, data: bytes) -> None:
        self.carried = Lane()


class NoisePolicy:
    """Answers with noise from the request's seed, moved by what its frames and state hold."""

    def __init__(self, max_batch: int = 4) -> None:
        self.spec = dataclasses.replace(
            ALOHA_HOLD,
            policy="noise",
            checkpoint_hash="f00d",
            supports_seed=True,
            max_batch=max_batch,
        )

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: PolicyRequest) -> PolicyOutput:
        noise = np.random.default_rng(request.seed)
        seen = sum(float(f.sum()) for cam in request.observation.cameras.values() for f in cam)
        felt = sum(float(values.sum()) for values in request.observation.state.values())
        action = {
            group.name: (
                noise.standard_normal((self.spec.horizon, group.dim)) * np.sin(seen + felt)
            ).astype(np.float32)
            for group in self.spec.action
        }
        return PolicyOutput(
            action, StageDurations(preprocess_ms=1, backbone_ms=2, action_head_ms=3)
        )


class GatedPolicy(HoldPolicy):
    """Holds, but each batch waits until the test lets it through; remembers every batch."""

    def __init__(self, max_batch: int = 1) -> None:
        super().__init__(dataclasses.replace(ALOHA_HOLD, policy="gated", max_batch=max_batch))
        self.batches: list[list[PolicyRequest]] = []
        self.entered: queue.Queue[int] = queue.Queue()
        self.gate = threading.Semaphore(0)
        self.warm = False

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        if self.warm:
            self.batches.append(list(requests))
            self.entered.put(len(requests))
            assert self.gate.acquire(timeout=TIMEOUT_S)
        return super().infer(requests)

    def let_through(self, batches: int = 1) -> None:
        self.gate.release(batches)

    def wait_until_busy(self) -> int:
        return self.entered.get(timeout=TIMEOUT_S)

    @property
    def sequences(self) -> list[list[int]]:
        return [[request.sequence for request in batch] for batch in self.batches]


class Door(Observer):
    """Remembers which requests were admitted, also of those that are dropped at once."""

    def __init__(self) -> None:
        self._admitted: queue.Queue[int] = queue.Queue()

    def admitted(self, pending: PendingRequest, data: bytes) -> None:
        self._admitted.put(pending.sequence)

    def wait_for(self, *sequences: int) -> None:
        assert {self._admitted.get(timeout=TIMEOUT_S) for _ in sequences} == set(sequences)


class Refusals(Observer):
    """Remembers by which words requests were turned away."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def refused(self, reason: str) -> None:
        self.words.append(reason)


class MoodyPolicy(HoldPolicy):
    """Does what the request's tag says: raise, refuse, answer wrongly; else it holds."""

    def __init__(self, max_batch: int = 4) -> None:
        super().__init__(dataclasses.replace(ALOHA_HOLD, policy="moody", max_batch=max_batch))

    def infer(self, requests: Sequence[PolicyRequest]) -> list[PolicyOutput]:
        outputs = super().infer(requests)
        for index, request in enumerate(requests):
            if request.client_tag == "raise":
                raise RuntimeError("secret path /srv/weights")
            if request.client_tag == "refuse":
                raise InvalidRequest("client_tag", "another", "'refuse'")
            if request.client_tag == "nan":
                outputs[index].action["waist"][0, 0] = np.nan
            if request.client_tag == "short":
                outputs.pop()
        return outputs


@dataclass
class Running:
    """A server on a free port, and a connection to it."""

    server: PolicyServer
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel
    stub: PolicyServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.stub = PolicyServiceStub(self.channel)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def infer(self, message: pb.InferRequest, timeout_s: float = TIMEOUT_S) -> pb.InferReply:
        return self.stub.Infer(message, timeout=timeout_s)

    def infer_bytes(self, data: bytes) -> pb.InferReply:
        """Send bytes that need not be a message; raises the error that comes back."""
        call = self.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
        try:
            return pb.InferReply.FromString(call(data, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            raise typed(error) from error

    def wait_until_in_flight(self, requests: int) -> None:
        wait_until(lambda: self.server.levels()["in_flight_requests"] == requests)

    def run(self, coroutine) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)


def typed(error: grpc.RpcError) -> PolicyError:
    """The error of ours that a failed call carries."""
    metadata = dict(error.trailing_metadata() or ())
    assert ERROR_METADATA_KEY in metadata, f"{error.code()}: {error.details()}"
    detail = pb.ErrorDetail.FromString(metadata[ERROR_METADATA_KEY])
    assert detail.status == error.code().value[0]
    assert detail.message == error.details()
    return decode_error(detail)


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Start servers for a test: serve(policy, max_batch=…, limits=…)."""
    started: list[tuple[Running, threading.Thread]] = []

    def start(policy: Policy, ready: bool = True, **settings: object) -> Running:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def begin() -> PolicyServer:
            server = PolicyServer(lambda: policy, ServerSettings(**settings))
            await server.listen()
            if ready:
                await server.become_ready()
            return server

        server = asyncio.run_coroutine_threadsafe(begin(), loop).result(TIMEOUT_S)
        if isinstance(policy, GatedPolicy):
            policy.warm = True
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options=_OPTIONS)
        running = Running(server, loop, channel)
        started.append((running, thread))
        return running

    yield start
    for running, thread in started:
        running.channel.close()
        running.run(running.server.drain(1.0))
        running.loop.call_soon_threadsafe(running.loop.stop)
        thread.join(TIMEOUT_S)
        running.loop.close()


@pytest.fixture
def gated() -> Iterator[GatedPolicy]:
    policy = GatedPolicy()
    yield policy
    policy.let_through(1000)  # nothing may wait when the server drains


@pytest.fixture
def gated_batch() -> Iterator[GatedPolicy]:
    policy = GatedPolicy(max_batch=4)
    yield policy
    policy.let_through(1000)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
def noise() -> NoisePolicy:
    return NoisePolicy()


@pytest.fixture
def moody() -> MoodyPolicy:
    return MoodyPolicy()


@pytest.fixture
def observation() -> Observation:
    """A 256×256 frame with some structure, and a pose."""
    rows, columns = np.mgrid[0:256, 0:256]
    frame = np.stack([rows, columns, (rows ^ columns)], axis=-1).astype(np.uint8)
    joints = np.linspace(-1, 1, 14, dtype=np.float32)
    return Observation({"ego_view": [frame]}, aloha_state_groups(joints), "transfer the cube")


@pytest.fixture
def message(observation) -> Callable[..., pb.InferRequest]:
    """Requests for that observation: message(sequence=…, seed=…, client_tag=…)."""
    return lambda **fields: encode_request(PolicyRequest(observation, **fields))


@pytest.fixture
def typed_error() -> Callable[[grpc.RpcError], PolicyError]:
    return typed


@pytest.fixture(scope="session")
def groot_dataset(tmp_path_factory) -> Path:
    """The small recordings of tests/data as a GR00T dataset."""
    from handover_conversion.pipeline.command import main
    from handover_conversion.pipeline.config import ConvertConfig

    output = tmp_path_factory.mktemp("groot") / "dataset"
    main(ConvertConfig(str(ROOT / "tests/data/aloha_sim_transfer_cube"), output, workers=1))
    return output
