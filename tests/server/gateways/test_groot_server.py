"""Isaac-GR00T's client gets pong, modality config, actions and errors from our server."""

import dataclasses
import hashlib
import os
import re
from pathlib import Path

import msgpack
import numpy as np
import pytest
from handover_proto.embodiment import RELATIVE_GROUPS
from handover_proto.msgpack_wire import unpack
from handover_proto.types import (
    ActionSpec,
    CameraSpec,
    PolicyOutput,
    PolicySpec,
    StateSpec,
)
from handover_server.gateways.groot_messages import action_reply, modality_config_reply, read_batch
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.security.tokens import TokenCheck

GR1 = dataclasses.replace(
    ALOHA_HOLD,
    action=tuple(
        dataclasses.replace(group, relative=group.name in RELATIVE_GROUPS)
        for group in ALOHA_HOLD.action
    ),
)


def test_every_endpoint_answers(groot_client, groot_observation):
    client = groot_client(HoldPolicy())
    assert client.call("ping") == {"status": "ok", "message": "Server is running"}
    assert client.call("reset", data={"options": None}) == {}
    config = client.call("get_modality_config")
    assert config["video"]["as_json"]["modality_keys"] == ["ego_view"]
    assert len(config["action"]["as_json"]["delta_indices"]) == 16
    data = {"observation": groot_observation, "options": None}
    action, extra = client.call("get_action", data=data)
    assert extra == {}
    assert {name: values.shape for name, values in action.items()} == {
        group.name: (1, 16, group.dim) for group in ALOHA_HOLD.action
    }
    np.testing.assert_array_equal(action["waist"], np.full((1, 16, 3), 4, np.float32))


def test_kill_and_unknown_endpoints_are_errors_and_nothing_stops(groot_client):
    client = groot_client(HoldPolicy())
    assert "disabled" in client.call("kill")["error"]
    assert client.call("nope") == {"error": "Unknown endpoint: nope"}
    assert client.call("ping")["status"] == "ok"


def test_messages_of_two_frames_are_answered_and_nothing_stops(groot_client):
    client = groot_client(HoldPolicy())
    reply = msgpack.unpackb(client.send(b"\x80", b"\x80"))
    assert "one frame" in reply["error"]
    assert client.call("ping")["status"] == "ok"


def test_a_batch_is_answered_row_by_row(groot_client, groot_observation, noise):
    client = groot_client(noise)

    def act(rows):
        batch = {
            "video": {"ego_view": np.zeros((rows, 1, 8, 8, 3), np.uint8)},
            "state": {
                name: np.repeat(values, rows, axis=0)
                for name, values in groot_observation["state"].items()
            },
            "language": {"task": [["lift"]] * rows},
        }
        return client.call("get_action", data={"observation": batch, "options": {"seed": 5}})[0]

    three, one = act(3), act(1)
    assert three["left_arm"].shape == (3, 16, 7)
    np.testing.assert_array_equal(three["left_arm"][:1], one["left_arm"])
    assert (three["left_arm"][1] != three["left_arm"][0]).any()  # the seeds are 5, 6, 7


def test_a_mistake_names_its_place(groot_client, groot_observation):
    def state(**changes):
        return {"state": {**groot_observation["state"], **changes}}

    client = groot_client(HoldPolicy())
    video, task = 'observation.video\\["ego_view"\\]', "observation.language"
    for part, change in [
        (video, {"video": {"ego_view": np.zeros((1, 1, 4, 4, 3), np.float32)}}),
        (video, {"video": {"ego_view": np.zeros((2, 1, 4, 4, 3), np.uint8)}}),
        (video, {"video": {"ego_view": np.zeros((1, 4, 4, 3), np.uint8)}}),
        (video, {"video": {"ego_view": np.zeros((1, 1, 4, 4, 4), np.uint8)}}),
        ("observation.video: ", {"video": {"wrist": np.zeros((1, 1, 4, 4, 3), np.uint8)}}),
        (task, {"language": {"task": ["lift"]}}),
        (task, {"language": {"task": ["x"]}}),
        (task, {"language": {"task": [7]}}),
        (task, {"language": {"task": [[7]]}}),
        (task, {"language": {"task": [["lift", "drop"]]}}),
        (task, {"language": {"task": [["lift"]], "other": [["lift"]]}}),
        (task, {"language": {"task": []}}),
        ("observation.task", {"language": {"task": [[" "]]}}),
        ("observation.state: ", {"state": {}}),
        ('observation.state\\["waist"\\]', state(waist=np.zeros((1, 3), np.float32))),
        ('observation.state\\["waist"\\]', state(waist=np.zeros((2, 1, 3), np.float32))),
    ]:
        data = {"observation": {**groot_observation, **change}, "options": None}
        error = client.call("get_action", data=data)["error"]
        assert re.match(part, error), error
    for seed in (-1, 0.5, "x"):
        data = {"observation": groot_observation, "options": {"seed": seed}}
        assert client.call("get_action", data=data)["error"].startswith("options.seed: expected")
    data = {"observation": groot_observation, "options": {"seed": 0}}
    assert isinstance(client.call("get_action", data=data), list)
    assert client.call("ping")["status"] == "ok"


def test_every_endpoint_wants_the_token(groot_client, refusals):
    tokens = TokenCheck(("a-token-of-enough-characters",))
    client = groot_client(HoldPolicy(), tokens=tokens, observer=refusals)
    unauthorised = {"error": "Unauthorized: Invalid API token"}
    assert client.call("ping") == unauthorised
    assert client.call("ping", api_token=7) == unauthorised
    assert client.call("get_action", api_token="another") == unauthorised
    assert client.call("ping", api_token="a-token-of-enough-characters")["status"] == "ok"
    assert refusals.words == 3 * ["unauthenticated"]


def test_our_bytes_are_as_they_were():
    output = PolicyOutput(
        {
            group.name: np.full((16, group.dim), index / 2, np.float32)
            for index, group in enumerate(GR1.action)
        }
    )
    config, action = modality_config_reply(GR1), action_reply([output], GR1)
    assert len(config) == 975
    assert (len(action), hashlib.sha256(action).hexdigest()[:16]) == (2695, "1d4e11c4b5d5de6b")


REPOSITORY = Path(__file__).resolve().parents[3]
GOLDEN = Path(os.environ.get("HANDOVER_GOLDEN", REPOSITORY / "../shared/reference")) / "wire"
needs_wire = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs HANDOVER_GOLDEN/wire")


class Recorded:
    """Answers with the reference's recorded arrays, row by row; its spec is the recorded one."""

    def __init__(self):
        self._action = read_recorded("get_action_reply")[0]
        self.spec = recorded_spec(self._action)

    def infer(self, requests):
        rows = len(next(iter(self._action.values())))
        return [
            PolicyOutput(
                {name: values[request.sequence % rows] for name, values in self._action.items()}
            )
            for request in requests
        ]


def recorded_spec(action):
    config = msgpack.unpackb((GOLDEN / "get_modality_config_reply.bin").read_bytes())
    keys = {kind: part["as_json"]["modality_keys"] for kind, part in config.items()}
    observation = read_recorded("get_action_request")["data"]["observation"]
    deltas = {kind: tuple(part["as_json"]["delta_indices"]) for kind, part in config.items()}
    seen = {kind: {"steps": len(steps), "delta_indices": steps} for kind, steps in deltas.items()}
    relative = [each["rep"] == "RELATIVE" for each in config["action"]["as_json"]["action_configs"]]
    return PolicySpec(
        policy="recorded",
        cameras=tuple(CameraSpec(name, **seen["video"]) for name in keys["video"]),
        state=tuple(
            StateSpec(name, observation["state"][name].shape[-1], **seen["state"])
            for name in keys["state"]
        ),
        action=tuple(
            ActionSpec(name, action[name].shape[-1], relative=each)
            for name, each in zip(keys["action"], relative, strict=True)
        ),
        horizon=len(deltas["action"]),
        rate_hz=20.0,
        max_batch=64,
    )


def read_recorded(name):
    from .conftest import groot_array

    data = (GOLDEN / f"{name}.bin").read_bytes()
    return msgpack.unpackb(data, object_hook=groot_array)


@pytest.mark.golden
@needs_wire
@pytest.mark.parametrize("name", ["ping", "reset", "get_modality_config", "get_action"])
def test_recorded_requests_get_the_recorded_bytes(groot_client, name):
    client = groot_client(Recorded())
    request = (GOLDEN / f"{name}_request.bin").read_bytes()
    assert client.send(request) == (GOLDEN / f"{name}_reply.bin").read_bytes()


@pytest.mark.golden
@needs_wire
def test_recorded_tokens_are_checked_as_recorded(groot_client):
    client = groot_client(Recorded(), tokens=TokenCheck(("secret-token",)))
    with_token = (GOLDEN / "get_action_request_with_token.bin").read_bytes()
    without = (GOLDEN / "get_action_request.bin").read_bytes()
    assert client.send(with_token) == (GOLDEN / "get_action_reply.bin").read_bytes()
    assert client.send(without) == (GOLDEN / "unauthorized_reply.bin").read_bytes()


@pytest.mark.golden
@needs_wire
def test_the_recorded_kill_is_refused(groot_client):
    client = groot_client(Recorded())
    reply = msgpack.unpackb(client.send((GOLDEN / "kill_request.bin").read_bytes()))
    assert "disabled" in reply["error"]


@pytest.mark.golden
@needs_wire
def test_a_recorded_observation_is_read_value_for_value():
    message = unpack((GOLDEN / "get_action_request.bin").read_bytes())
    recorded = read_recorded("get_action_request")["data"]["observation"]
    for row, request in enumerate(read_batch(message["data"], Recorded().spec)):
        for name, frames in recorded["video"].items():
            np.testing.assert_array_equal(request.observation.cameras[name], frames[row])
        for name, values in recorded["state"].items():
            np.testing.assert_array_equal(request.observation.state[name], values[row])


@pytest.mark.parametrize(
    "shape", [(1, 10**7, 0, 1, 3), (1, 10**5, 1, 1, 3), (1, 1, 0, 64, 3), (2, 1, 8, 8, 3)]
)
def test_frames_are_counted_before_they_are_listed(groot_client, groot_observation, shape):
    client = groot_client(HoldPolicy())
    video = {"ego_view": np.zeros(shape, np.uint8)}
    data = {"observation": {**groot_observation, "video": video}, "options": None}
    error = client.call("get_action", data=data)["error"]
    assert error.startswith('observation.video["ego_view"]: expected')
    assert client.call("ping")["status"] == "ok"
