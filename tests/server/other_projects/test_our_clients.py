"""Our clients of openpi's and Isaac-GR00T's protocols: against our gateways, and against theirs."""

import dataclasses
import json
import re
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import msgpack
import numpy as np
import pytest
from handover_client import PolicyClient
from handover_client.connection.foreign.open import connect_server, open_server
from handover_client.connection.foreign.spec_file import NotTold
from handover_client.connection.security import ChannelSecurity
from handover_client.errors import InvalidReply
from handover_common import UsageError
from handover_proto import (
    DeadlinePassed,
    InvalidRequest,
    NotAuthorised,
    Observation,
    PolicyFailed,
    ServerUnavailable,
    UnmetPrecondition,
    example_request,
)
from handover_server.gateways.listeners import GatewaySettings
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.security.tokens import TokenCheck

from ...other_servers import groot_server, modality, openpi_server
from ..conftest import NoisePolicy

pytest.importorskip("websockets")
pytest.importorskip("zmq")
T = 60.0


def addresses(server) -> dict[str, str]:
    ports = server.gateways
    return {
        "ours": server.address,
        "openpi": f"openpi://127.0.0.1:{ports.openpi_port}",
        "groot": f"groot://127.0.0.1:{ports.groot_zmq_port}",
    }


@pytest.fixture
def three(serve):
    """Addresses of one policy: gRPC's, openpi's, Isaac-GR00T's."""
    settings = GatewaySettings(openpi_port=0, groot_zmq_port=0, adaptation=Adaptation("", 20.0))

    def start(policy=None, **more):
        return addresses(serve(policy or NoisePolicy(), gateways=settings, **more).server)

    return start


def seen(spec, seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    cameras = {
        camera.name: [
            rng.integers(0, 256, (60, 80, 3), dtype=np.uint8) for _ in range(camera.steps)
        ]
        for camera in spec.cameras
    }
    state = {
        group.name: rng.normal(size=(group.steps, group.dim)).astype(np.float32)
        for group in spec.state
    }
    return Observation(cameras, state, "transfer the cube")


def test_three_addresses_give_the_same_chunks_bit_for_bit(three):
    answers = {}
    for name, address in three().items():
        with connect_server(address, timeout_s=T, call_timeout_s=T) as client:
            spec = client.info.spec
            chunks = [
                client.infer(seen(spec, n), seed=2**64 - 1 - n, sequence=n, client_tag="x")
                for n in range(3)
            ]
        assert [chunk.seed for chunk in chunks] == [2**64 - 1, 2**64 - 2, 2**64 - 3]
        assert {chunk.checkpoint_hash for chunk in chunks} == {spec.checkpoint_hash} == {"f00d"}
        assert [(chunk.sequence, chunk.client_tag) for chunk in chunks] == [
            (0, "x"),
            (1, "x"),
            (2, "x"),
        ]
        assert all(chunk.durations.total_ms > 0 for chunk in chunks)
        answers[name] = spec, chunks
    ours, theirs = answers.pop("ours"), answers
    for spec, chunks in theirs.values():
        assert spec == dataclasses.replace(ours[0], supports_prefix=False, learned_delay_steps=0)
        for mine, chunk in zip(ours[1], chunks, strict=True):
            assert mine.action.keys() == chunk.action.keys()
            for group, values in mine.action.items():
                assert values.tobytes() == chunk.action[group].tobytes()


def test_frames_of_the_past_go_over_isaac_groots_protocol_and_not_over_openpis(three):
    policy = NoisePolicy()
    camera = dataclasses.replace(policy.spec.cameras[0], steps=2, delta_indices=(-3, 0))
    policy.spec = dataclasses.replace(policy.spec, cameras=(camera,))
    at = three(policy)
    with (
        connect_server(at["ours"], timeout_s=T) as ours,
        connect_server(at["groot"], timeout_s=T) as groot,
    ):
        asked = seen(ours.info.spec, 1)
        mine, theirs = ours.infer(asked, seed=4), groot.infer(asked, seed=4)
        for group, values in mine.action.items():
            np.testing.assert_array_equal(values, theirs.action[group])
    with pytest.raises(UnmetPrecondition, match="looks back in time"):
        connect_server(at["openpi"], timeout_s=T)


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_what_the_protocol_lacks_is_refused_before_anything_is_sent(three, scheme):
    address = three()[scheme]
    with pytest.raises(UnmetPrecondition, match="cannot read JPEG"):
        connect_server(address, timeout_s=T, image_codec="jpeg")
    with connect_server(address, timeout_s=T) as client:
        request = example_request(client.info.spec, with_prefix=True)
        with pytest.raises(UnmetPrecondition, match="no real-time chunking"):
            client.infer(request.observation, prefix=request.prefix)
        with pytest.raises(InvalidRequest, match="task"):
            client.infer(Observation(request.observation.cameras, request.observation.state, " "))


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_a_token_opens_the_door_and_never_crosses_a_network_in_the_clear(three, scheme):
    address = three(tokens=TokenCheck(("secret-token-of-many-letters",)))[scheme]
    with connect_server(
        address, timeout_s=T, security=ChannelSecurity(token="secret-token-of-many-letters")
    ) as client:
        assert client.infer(seen(client.info.spec, 0), seed=1).seed == 1
    with pytest.raises(NotAuthorised):
        connect_server(address, timeout_s=T, security=ChannelSecurity(token="wrong"))
    with pytest.raises(UsageError, match="unencrypted"):
        open_server(
            "openpi://192.0.2.1:1", security=ChannelSecurity(token="secret-token-of-many-letters")
        )


def test_addresses_of_no_protocol_are_refused():
    for address in ("zmq://h:1", "openpi://h", "groot://h:1,h:2", "://h:1"):
        with pytest.raises(UsageError, match="server address"):
            open_server(address)


# ---- servers written from the other projects' documentation -------------------------------------


@pytest.fixture
def spec_file(tmp_path):
    def write(**told):
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(told))
        return path

    return write


ALOHA_14 = {"state": [14, "rad, 0 closed to 1 open"]}
OPENPI = {
    "rate_hz": 50,
    "horizon": 5,
    "cameras": {"cam_high": [48, 64]},
    "state": ALOHA_14,
    "action": {"actions": [14, "rad, 0 closed to 1 open"]},
}


def openpi_policy(observation: dict) -> dict:
    """Asserts what openpi's AlohaInputs expects; moves from the state by the image's mean."""
    assert set(observation) == {"state", "images", "prompt"}, set(observation)
    assert observation["images"]["cam_high"].shape == (3, 48, 64)
    assert observation["prompt"] == "transfer the cube"
    step = observation["images"]["cam_high"].mean() / 255
    rows = observation["state"] + step * np.arange(1, 6)[:, None]
    return {"actions": rows, "state": observation["state"], "policy_timing": {"infer_ms": 1.0}}


def test_openpis_server_is_asked_in_its_own_words(spec_file):
    with (
        openpi_server(openpi_policy, {"reset_pose": np.zeros(14)}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**OPENPI)) as it,
    ):
        frame = np.full((48, 64, 3), 51, np.uint8)
        state = np.linspace(0, 1, 14, dtype=np.float32)[None]
        asked = Observation({"cam_high": [frame]}, {"state": state}, "transfer the cube")
        chunk = it.infer(asked, seed=7, sequence=3)
        expected = (state + 0.2 * np.arange(1, 6)[:, None]).astype(np.float32)
        np.testing.assert_allclose(chunk.action["actions"], expected, rtol=1e-6)
        assert (chunk.sequence, chunk.seed, chunk.checkpoint_hash) == (3, 0, "")
        assert not it.info.spec.supports_seed


def test_names_with_a_slash_are_sent_as_droid_and_libero_want_them(spec_file):
    def libero(observation: dict) -> dict:
        assert set(observation) == {"observation/image", "observation/state", "prompt"}
        assert observation["observation/image"].shape == (32, 32, 3)
        return {"actions": np.tile(observation["observation/state"][:7], (10, 1))}

    told = {
        "rate_hz": 10,
        "horizon": 10,
        "cameras": {"observation/image": [32, 32]},
        "state": {"observation/state": [8, "m"]},
        "action": {"position": [3, "m"], "rotation": [3, "rad"], "gripper": [1, "-1 to 1"]},
    }
    with (
        openpi_server(libero, {}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**told)) as it,
    ):
        chunk = it.infer(example_request(it.info.spec).observation)
        shapes = {name: values.shape for name, values in chunk.action.items()}
        assert shapes == {"position": (10, 3), "rotation": (10, 3), "gripper": (10, 1)}


def test_openpis_traceback_is_one_line_and_the_next_call_goes_on(spec_file):
    answers = iter([ValueError("no such\nprompt"), None])

    def infer(observation: dict) -> dict:
        trouble = next(answers)
        if trouble:
            raise trouble
        return {"actions": np.zeros((5, 14))}

    with (
        openpi_server(infer, {}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**OPENPI)) as it,
    ):
        asked = example_request(it.info.spec).observation
        with pytest.raises(PolicyFailed, match=r"the server failed: prompt$"):
            it.infer(asked)
        assert it.infer(asked).action["actions"].shape == (5, 14)


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({"actions": np.zeros((4, 14))}, "actions"),
        ({"actions": np.full((5, 14), np.nan)}, "actions"),
        ({"actions": np.zeros((5, 14), int)}, "actions"),
        ({"actions": np.full((5, 14), 1e9)}, "actions"),
        ({"moves": np.zeros((5, 14))}, "actions"),
        ({"actions": [[0.0] * 14] * 5}, "actions"),
    ],
)
def test_a_reply_of_openpis_that_is_no_chunk_reaches_no_robot(spec_file, answer, field):
    with (
        openpi_server(lambda _: dict(answer), {}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**OPENPI)) as it,
        pytest.raises(InvalidReply, match=field),
    ):
        it.infer(example_request(it.info.spec).observation)


def test_without_a_spec_the_error_shows_the_file_to_write(tmp_path):
    with (
        openpi_server(openpi_policy, {}) as port,
        pytest.raises(NotTold, match="does not tell rate_hz, horizon, cameras") as caught,
    ):
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T)
    template = json.loads("\n".join(caught.value.lines()[1:]))
    assert template["action"] == {"actions": [14, "rad, 0 closed to 1 open"]}
    with (
        groot_server(lambda **_: None, CONFIGS, "1.7") as port,
        pytest.raises(NotTold, match="the rate") as caught,
    ):
        connect_server(f"groot://127.0.0.1:{port}", timeout_s=T)
    template = json.loads("\n".join(caught.value.lines()[1:]))
    assert template == {"rate_hz": None, "state": {"arm": [None, None]}, "action": {
        "arm": [None, None], "hand": [None, None]}}  # fmt: skip
    (tmp_path / "half.json").write_text(json.dumps(template))
    with pytest.raises(UsageError, match=r"state\.arm: expected \{NAME: \[NUMBERS"):
        connect_server("groot://127.0.0.1:1", timeout_s=T, spec=tmp_path / "half.json")


CONFIGS = {
    "video": modality(["front"], [-1, 0]),
    "state": modality(["arm"], [0]),
    "action": modality(["arm", "hand"], list(range(6))),
    "language": modality(["task"], [0]),
}
TOLD = {
    "rate_hz": 20,
    "state": {"arm": [3, "rad"]},
    "action": {"arm": [3, "rad"], "hand": [1, "0 to 1"]},
}


def groot_policy(observation: dict, options: dict | None = None) -> tuple[dict, dict]:
    """Asserts what Gr00tPolicy.check_observation does; answers from state and frames."""
    assert options is None
    video, arm = observation["video"]["front"], observation["state"]["arm"]
    assert (video.dtype, video.shape) == (np.uint8, (1, 2, 24, 32, 3))
    assert (arm.dtype, arm.shape) == (np.float32, (1, 1, 3))
    assert observation["language"] == {"task": [["transfer the cube"]]}
    shift = np.arange(6, dtype=np.float32)[:, None] * video[0, -1].mean()
    hand = np.full((1, 6, 1), video[0, 0].mean(), np.float32)
    return {"arm": (arm[0] + shift)[None].astype(np.float32), "hand": hand}, {}


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_isaac_groots_server_is_asked_in_its_own_words(spec_file, version):
    with (
        groot_server(groot_policy, CONFIGS, version) as port,
        connect_server(f"groot://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**TOLD)) as it,
    ):
        spec = it.info.spec
        assert (spec.horizon, spec.rate_hz, spec.language_key) == (6, 20.0, "task")
        assert spec.cameras[0].delta_indices == (-1, 0)
        frames = [np.full((24, 32, 3), value, np.uint8) for value in (1, 2)]
        state = np.array([[0.5, 0.25, -1]], np.float32)
        chunk = it.infer(
            Observation({"front": frames}, {"arm": state}, "transfer the cube"), seed=9
        )
        np.testing.assert_array_equal(chunk.action["arm"][:, 0], 0.5 + 2 * np.arange(6))
        np.testing.assert_array_equal(chunk.action["hand"], np.ones((6, 1), np.float32))


def test_isaac_groots_errors_and_token(spec_file):
    with groot_server(groot_policy, CONFIGS, "1.6", token="secret-token-of-many-letters") as port:
        address, path = f"groot://127.0.0.1:{port}", spec_file(**TOLD)
        with pytest.raises(NotAuthorised, match="Invalid API token"):
            connect_server(address, timeout_s=T, spec=path)
        security = ChannelSecurity(token="secret-token-of-many-letters")
        with connect_server(address, timeout_s=T, spec=path, security=security) as it:
            asked = example_request(it.info.spec).observation
            with pytest.raises(PolicyFailed, match="the server failed"):  # another task
                it.infer(asked)
        path = spec_file(**{**TOLD, "state": {"leg": [3, "rad"]}})
        with pytest.raises(UsageError, match=f"state: {address} has arm"):
            connect_server(address, timeout_s=T, spec=path, security=security)


def test_a_server_that_comes_back_is_found_and_one_that_is_gone_is_told(spec_file):
    path = spec_file(**OPENPI)
    zeros = {"actions": np.zeros((5, 14))}
    with ExitStack() as first:
        port = first.enter_context(openpi_server(lambda _: dict(zeros), {}))
        it = connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=path)
        asked = example_request(it.info.spec).observation
        it.infer(asked)
        it._link._duplex._socket.shutdown(socket.SHUT_RDWR)  # the connection breaks
        it.infer(asked)
    with it, pytest.raises(ServerUnavailable):
        it.infer(asked, timeout_s=T)


class Silent:
    """Accepts, says `first`, and nothing more."""

    def __init__(self, first: bytes = b"") -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept: list[socket.socket] = []
        self.first = first
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.kept.append(connection)
            if self.first:
                connection.sendall(self.first)


@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_every_wait_ends(scheme):
    server = Silent()
    with open_server(f"{scheme}://127.0.0.1:{server.port}") as client:
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            client.get_info(timeout_s=0.2)
        assert time.monotonic() - began < T
        with pytest.raises(ServerUnavailable, match="no server ready"):
            client.wait_until_ready(0.2)
    server.socket.close()


@pytest.mark.parametrize(
    "first", [b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(100), b"HTTP/1.1 404 No\r\n\r\n", b"\xff" * 64]
)
@pytest.mark.parametrize("scheme", ["openpi", "groot"])
def test_another_kind_of_server_is_told_apart(scheme, first):
    server = Silent(first)
    with (
        open_server(f"{scheme}://127.0.0.1:{server.port}") as client,
        pytest.raises((InvalidReply, UnmetPrecondition, DeadlinePassed)),
    ):
        client.get_info(timeout_s=2.0)
    server.socket.close()


def test_a_reply_that_claims_more_than_it_may_takes_no_memory(spec_file):
    """A length of 2^40 is refused by its number; nothing of it is read."""
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP"
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    huge = b"\x01\x00\x02" + (1 << 40).to_bytes(8, "big")
    server = Silent(greeting + ready + huge)
    with (
        open_server(f"groot://127.0.0.1:{server.port}") as client,
        pytest.raises(InvalidReply, match="1099511627776 bytes"),
    ):
        client.get_info(timeout_s=T)
    server.socket.close()


def test_a_million_parts_are_refused_before_they_are_objects(spec_file):
    data = msgpack.packb({"actions": [0] * 100_000})

    def infer(observation: dict) -> dict:
        return msgpack.unpackb(data)

    with (
        openpi_server(infer, {}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=spec_file(**OPENPI)) as it,
        pytest.raises(InvalidReply, match="more than 4096 parts"),
    ):
        it.infer(example_request(it.info.spec).observation)


def test_the_plain_address_is_ours(three):
    with connect_server(three()["ours"], timeout_s=T) as client:
        assert isinstance(client, PolicyClient)


def test_the_file_of_docs_gateways_md_is_one_for_openpis_aloha_policies(tmp_path):
    page = (Path(__file__).parents[3] / "docs/gateways.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "pi0.json"
    path.write_text(block)

    def infer(observation: dict) -> dict:
        assert observation["images"]["cam_high"].shape == (3, 480, 640)
        return {"actions": np.tile(observation["state"], (50, 1))}

    with (
        openpi_server(infer, {}) as port,
        connect_server(f"openpi://127.0.0.1:{port}", timeout_s=T, spec=path) as it,
    ):
        assert it.infer(example_request(it.info.spec).observation).action["actions"].shape == (
            50,
            14,
        )
