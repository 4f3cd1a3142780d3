"""openpi's client gets its metadata, its 14-joint actions and its errors from our server."""

import asyncio
import dataclasses
import socket
import urllib.error
import urllib.request

import msgpack
import numpy as np
import pytest
from handover_proto.embodiment import ALOHA_JOINTS, GRIPPER_JOINTS
from handover_proto.types import ActionSpec, CameraSpec, StateSpec
from handover_server.gateways.openpi_messages import Adaptation
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.security.tokens import TokenCheck

from ..conftest import wait_until

TOKEN = "a-token-of-enough-characters"


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}


def opening(port, headers):
    """The first bytes of the reply to a request with these headers."""
    lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        return connection.recv(20)


class Ramp(HoldPolicy):
    """Step j of every column is j."""

    def infer(self, requests):
        outputs = super().infer(requests)
        for output in outputs:
            for values in output.action.values():
                values[:] = np.arange(len(values))[:, None]
        return outputs


def test_an_aloha_client_gets_its_own_fourteen_joints_back(serve_openpi, openpi_client, aloha):
    running = serve_openpi(HoldPolicy())
    client = openpi_client(port=running.server.gateways.openpi_port)
    assert client.get_server_metadata()["aloha_joints"] == list(ALOHA_JOINTS)
    for _ in range(2):
        reply = client.infer(aloha)
        assert reply["actions"].shape == (16, 14)
        np.testing.assert_array_equal(reply["actions"][7], aloha["state"].astype(np.float32))
    assert reply["server_timing"]["infer_ms"] > 0
    assert reply["server_timing"]["prev_total_ms"] > 0


def test_a_mistake_is_one_line_and_the_connection_goes_on(
    serve_openpi, openpi_client, aloha, refusals
):
    running = serve_openpi(HoldPolicy(), observer=refusals)
    client = openpi_client(port=running.server.gateways.openpi_port)
    wrong = [
        ("state: expected", {"state": np.zeros(13)}),
        ("state: expected float32", {"state": np.arange(14)}),
        ("images: expected cam_high", {"images": {"cam_low": aloha["images"]["cam_high"]}}),
        ("images: expected a map", {"images": []}),
        ("uint8", {"images": {"cam_high": np.zeros((3, 8, 8), np.float32)}}),
        ("prompt: expected", {"prompt": None}),
        ("prompt: expected", {"prompt": " "}),
        ("prompt: expected", {"prompt": 7}),
        *(("seed: expected", {"seed": seed}) for seed in ("7", -1, 0.5, True)),
    ]
    for part, change in wrong:
        with pytest.raises(RuntimeError, match=part):
            client.infer({**aloha, **change})
    assert refusals.words == len(wrong) * ["invalid"]
    with pytest.raises(RuntimeError, match="finite"):  # which was admitted, then refused
        client.infer({**aloha, "state": np.full(14, np.nan)})
    assert client.infer({**aloha, "seed": 0, b"unknown": 1})["actions"].shape == (16, 14)
    assert client.infer(aloha)["actions"].shape == (16, 14)


def test_a_failing_policy_tells_an_incident_and_nothing_else(serve_openpi, openpi_client, aloha):
    class Failing(HoldPolicy):
        def infer(self, requests):
            if requests[0].observation.task != "stand still":  # the warm-up's
                raise RuntimeError("secret path")
            return super().infer(requests)

    client = openpi_client(port=serve_openpi(Failing()).server.gateways.openpi_port)
    with pytest.raises(RuntimeError, match="incident") as caught:
        client.infer(aloha)
    assert "secret" not in str(caught.value)


def test_a_client_without_prompt_gets_the_servers_and_its_own_rate(
    serve_openpi, openpi_client, aloha
):
    del aloha["prompt"]
    running = serve_openpi(HoldPolicy(), Adaptation("transfer the cube", 50.0))
    client = openpi_client(port=running.server.gateways.openpi_port)
    assert client.get_server_metadata()["actions_rate_hz"] == 50.0
    assert client.infer(aloha)["actions"].shape == (40, 14)  # 16 steps at 20 Hz are 0.8 s


def test_other_robots_use_the_checkpoints_own_names(serve_openpi, openpi_client, noise):
    running = serve_openpi(noise)
    client = openpi_client(port=running.server.gateways.openpi_port)
    image = np.zeros((12, 16, 3), np.uint8)
    wide = {"state": np.zeros(29, np.float32), "images": {"ego_view": image}, "prompt": "lift"}
    flat = {
        "observation/state": wide["state"],
        "observation/ego_view": image,
        "prompt": "lift",
        "seed": 3,
    }
    first, second = client.infer({**wide, "seed": 3}), client.infer(flat)
    assert first["actions"].shape == (16, 29)
    np.testing.assert_array_equal(first["actions"], second["actions"])


def test_one_picture_is_not_two_cameras(serve_openpi, openpi_client, aloha):
    two = dataclasses.replace(ALOHA_HOLD, cameras=(CameraSpec("ego_view"), CameraSpec("wrist")))
    client = openpi_client(port=serve_openpi(HoldPolicy(two)).server.gateways.openpi_port)
    with pytest.raises(RuntimeError, match="images: expected ego_view, wrist, got cam_high"):
        client.infer(aloha)


def test_a_robot_of_its_own_groups_gets_its_rate_too(serve_openpi, openpi_client):
    groups = (ActionSpec("arm", 2), ActionSpec("gripper", 1))
    state = tuple(StateSpec(group.name, group.dim) for group in groups)
    spec = dataclasses.replace(ALOHA_HOLD, state=state, action=groups, horizon=3, rate_hz=30.0)
    running = serve_openpi(Ramp(spec), Adaptation(rate_hz=60.0))
    client = openpi_client(port=running.server.gateways.openpi_port)
    assert client.get_server_metadata()["actions_rate_hz"] == 60.0
    image = np.zeros((8, 8, 3), np.uint8)
    reply = client.infer(
        {"state": np.zeros(3, np.float32), "images": {"ego_view": image}, "prompt": "lift"}
    )
    arms, grippers = [0, 0.5, 1, 1.5, 2, 2], [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(reply["actions"], np.stack([arms, arms, grippers], axis=1))


def test_images_that_the_policy_has_no_camera_for_are_ignored_and_told(
    serve_openpi, openpi_client, aloha, caplog
):
    spec = dataclasses.replace(ALOHA_HOLD, cameras=(CameraSpec("ego_view"), CameraSpec("wrist")))
    client = openpi_client(port=serve_openpi(HoldPolicy(spec)).server.gateways.openpi_port)
    image = aloha["images"]["cam_high"]
    known = {"ego_view": image, "wrist": image}
    more = {**known, "cam_low": np.zeros(3), "cam_back": None}  # not even looked at
    for images, ignored in (
        (known, None),
        (more, ["cam_back", "cam_low"]),
        (more, ["cam_back", "cam_low"]),
    ):
        reply = client.infer({**aloha, "images": images})
        assert reply["actions"].shape == (16, 14)
        assert reply.get("ignored_images") == ignored
    lines = [line for line in caplog.messages if "are ignored" in line]
    assert len(lines) == 1
    assert "('cam_back', 'cam_low')" in lines[0]


def test_fourteen_numbers_are_not_alohas_where_the_policy_is_another_robots(
    serve_openpi, openpi_client, aloha
):
    other = dataclasses.replace(
        ALOHA_HOLD,
        cameras=(CameraSpec("wrist"),),
        state=(StateSpec("arm", 14),),
        action=(dataclasses.replace(ALOHA_HOLD.action[0], name="arm", dim=14),),
    )
    client = openpi_client(port=serve_openpi(HoldPolicy(other)).server.gateways.openpi_port)
    with pytest.raises(RuntimeError, match="wrist"):
        client.infer(aloha)
    aloha["images"] = {"wrist": aloha["images"]["cam_high"]}
    assert client.infer(aloha)["actions"].shape == (16, 14)


def test_the_key_of_openpis_client_is_a_token(serve_openpi, openpi_client, aloha, refusals):
    running = serve_openpi(HoldPolicy(), tokens=TokenCheck((TOKEN,)), observer=refusals)
    port = running.server.gateways.openpi_port
    assert openpi_client(port=port, api_key=TOKEN).infer(aloha)["actions"].shape == (16, 14)
    for wrong in (None, "another-token-of-our-own"):
        with pytest.raises(Exception, match="401"):
            openpi_client(port=port, api_key=wrong)
    assert refusals.words == 2 * ["unauthenticated"]


@pytest.mark.parametrize("headers", [{"Origin": "https://a.page"}, {"Host": "a.page"}])
def test_no_web_page_gets_as_far_as_the_metadata(serve_openpi, refusals, headers):
    running = serve_openpi(HoldPolicy(), observer=refusals)
    port = running.server.gateways.openpi_port
    handshake = {"Host": f"127.0.0.1:{port}", **HANDSHAKE, **headers}
    assert opening(port, handshake).startswith(b"HTTP/1.1 403 ")
    assert refusals.words == ["web_page"]
    handshake = {"Host": f"127.0.0.1:{port}", **HANDSHAKE}
    assert opening(port, handshake).startswith(b"HTTP/1.1 101 ")


def test_a_client_has_a_bounded_number_of_connections(serve_openpi, openpi_client, aloha):
    limits = AdmissionLimits(client_streams=1)
    running = serve_openpi(HoldPolicy(), tokens=TokenCheck((TOKEN,)), limits=limits)
    port = running.server.gateways.openpi_port
    first = openpi_client(port=port, api_key=TOKEN)
    with pytest.raises(Exception, match=r"1013.*token [0-9a-f]{8} has 1 streams open"):
        openpi_client(port=port, api_key=TOKEN)
    assert first.infer(aloha)["actions"].shape == (16, 14)


def test_what_nobody_foresaw_is_an_incident_and_not_a_silence(
    serve_openpi, openpi_client, aloha, monkeypatch
):
    openpi_server = pytest.importorskip("handover_server.gateways.openpi_server")

    def fail(*_):
        raise RuntimeError("secret path")

    port = serve_openpi(HoldPolicy()).server.gateways.openpi_port
    client = openpi_client(port=port)
    with monkeypatch.context() as broken:
        broken.setattr(openpi_server, "reply", fail)
        with pytest.raises(RuntimeError, match=r"a request failed; .* incident [0-9a-f]{8}$"):
            client.infer(aloha)
    assert client.infer(aloha)["actions"].shape == (16, 14)
    monkeypatch.setattr(openpi_server, "metadata", fail)
    with pytest.raises(Exception, match=r"1011.*a websocket failed"):
        openpi_client(port=port)


def test_a_full_server_says_when_to_come_back(serve_openpi, openpi_client, aloha, gated, message):
    running = serve_openpi(gated, limits=AdmissionLimits(requests=1))
    call = running.stub.Infer.future(message(), timeout=60)
    gated.wait_until_busy()
    client = openpi_client(port=running.server.gateways.openpi_port)
    with pytest.raises(RuntimeError, match="try again"):
        client.infer(aloha)
    gated.let_through()
    call.result()


def test_health_is_where_openpis_is(serve_openpi, gated, message):
    running = serve_openpi(gated, tokens=TokenCheck((TOKEN,)))

    def get(path):
        where = f"http://127.0.0.1:{running.server.gateways.openpi_port}{path}"
        try:
            with urllib.request.urlopen(where, timeout=60) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    assert get("/healthz") == (200, b"OK\n")
    assert get("/metrics")[0] == 401
    running.run(running.server.suspend("the policy is stuck"))
    assert get("/healthz") == (503, b"the policy is stuck\n")
    running.run(running.server.resume())
    assert get("/healthz") == (200, b"OK\n")
    shown = (("authorization", f"Bearer {TOKEN}"),)
    in_flight = running.stub.Infer.future(message(), timeout=60, metadata=shown)
    gated.wait_until_busy()
    draining = asyncio.run_coroutine_threadsafe(running.server.drain(60), running.loop)
    wait_until(lambda: get("/healthz") == get("/") == (503, b"draining\n"))
    gated.let_through()
    assert in_flight.result().action
    assert draining.result(60)


def test_a_client_that_leaves_takes_its_request_with_it(serve_openpi, aloha, gated, caplog):
    from .conftest import WebsocketByHand, pack_array

    running = serve_openpi(gated)
    port = running.server.gateways.openpi_port
    first, second = (WebsocketByHand("127.0.0.1", port) for _ in range(2))
    first._ws.send(msgpack.packb(aloha, default=pack_array))
    gated.wait_until_busy()
    second._ws.send(msgpack.packb(aloha, default=pack_array))
    running.wait_until_in_flight(2)
    second._ws.close()
    running.wait_until_in_flight(1)  # though the policy is still busy with the first
    gated.let_through(2)
    assert isinstance(first._ws.recv(60), bytes)
    first._ws.close()
    assert len(gated.batches) == 1
    assert "incident" not in caplog.text


def test_grippers_are_columns_six_and_thirteen(serve_openpi, openpi_client, aloha):
    aloha["state"][list(GRIPPER_JOINTS)] = (0.25, 0.75)
    client = openpi_client(port=serve_openpi(HoldPolicy()).server.gateways.openpi_port)
    assert client.infer(aloha)["actions"][0, list(GRIPPER_JOINTS)].tolist() == [0.25, 0.75]


def test_a_connection_ends_when_its_token_is_taken_away(serve_openpi, openpi_client, aloha):
    tokens = TokenCheck((TOKEN,))
    running = serve_openpi(HoldPolicy(), tokens=tokens)
    client = openpi_client(port=running.server.gateways.openpi_port, api_key=TOKEN)
    assert client.infer(aloha)["actions"].shape == (16, 14)
    tokens.replace(("another-token-of-our-own",))
    with pytest.raises(Exception, match=r"1008.*not one of this server's"):
        client.infer(aloha)
