"""The control loop of docs/python-client.md, run as it stands there."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.policy_stream import PolicyStream
from handover_proto.embodiment import narrow, widen
from handover_proto.errors import DeadlinePassed
from handover_proto.wire.codec import decode_image
from handover_server.policies.hold import HoldPolicy

DOCS = Path(__file__).resolve().parents[2] / "docs"


class FakeRobot:
    """Stays where it is told to be."""

    def __init__(self) -> None:
        self.joints = np.linspace(0, 1, 14, dtype=np.float32)
        self.commands = []

    def read(self):
        return np.full((480, 640, 3), 90, np.uint8), self.joints

    def command(self, target):
        self.commands.append(target)


class CameraRobot(FakeRobot):
    """Gives frames by name, those that the policy does not want too."""

    def read(self):
        frame = np.full((256, 256, 3), 90, np.uint8)
        return {"ego_view": frame, "left_wrist": frame}, self.joints


class PrefixPolicy(HoldPolicy):
    """Holds still; says that it takes prefixes."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, supports_prefix=True)


def example(function: str) -> dict:
    """The names of the one example that defines a function."""
    text = (DOCS / "python-client.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (code,) = (block for block in blocks if f"def {function}(" in block)
    names = {}
    exec(compile(code, "python-client.md", "exec"), names)
    return names


@pytest.fixture
def three_steps(monkeypatch):
    """Have every answer come at the third look for it, however fast the machine is."""
    send, receive = PolicyStream.send, PolicyStream.receive
    looks = []  # at what has been sent and is still to come

    def send_and_count(stream, observation, **told):
        send(stream, observation, **told)
        looks.append(0)

    def receive_at_the_third_look(stream, *, timeout_s):
        assert 0 < timeout_s < 1
        if looks:
            looks[0] += 1
        if not looks or looks[0] < 3:
            raise DeadlinePassed("not yet")
        looks.pop(0)
        return receive(stream, timeout_s=60)

    monkeypatch.setattr(PolicyStream, "send", send_and_count)
    monkeypatch.setattr(PolicyStream, "receive", receive_at_the_third_look)


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("policy", [HoldPolicy, PrefixPolicy])
def test_the_real_time_loop_of_the_docs_plays_on_while_the_policy_thinks(serve_policy, policy):
    names = example("control_in_real_time")
    server, robot = serve_policy(policy()), CameraRobot()
    names["control_in_real_time"](robot, server.address, "hand over the cube", steps=50)
    assert len(robot.commands) == 50
    for target in robot.commands:
        np.testing.assert_allclose(target, robot.joints, atol=1e-6)
    assert [call.sequence for call in server.servicer.calls] == [0, 20, 40]
    told = [call.HasField("prefix") for call in server.servicer.calls]
    assert told == [False, policy is PrefixPolicy, policy is PrefixPolicy]


def test_the_control_loop_of_the_docs_moves_a_robot(serve_policy, monkeypatch):
    infer = PolicyClient.infer

    def infer_on_a_slow_machine(client, observation, *, timeout_s, **told):
        return infer(client, observation, timeout_s=60 * timeout_s, **told)

    monkeypatch.setattr(PolicyClient, "infer", infer_on_a_slow_machine)
    names = example("control")
    server, robot = serve_policy(HoldPolicy()), FakeRobot()
    names["control"](robot, server.address, "hand over the cube", chunks=2)
    assert len(robot.commands) == 16
    for target in robot.commands:
        np.testing.assert_array_equal(target, narrow(widen(robot.joints)))
    assert [call.sequence for call in server.servicer.calls] == [0, 8]
    (frame,) = server.servicer.calls[0].observation.cameras["ego_view"].frames
    assert decode_image(frame, "", 10**6).shape == (256, 256, 3)
