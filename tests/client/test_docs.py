"""The control loops of docs/python-client.md, run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest
from handover_client import PolicyClient, square_image
from handover_proto.embodiment import narrow, widen
from handover_proto.wire.codec import decode_image
from handover_server.policies.hold import HoldPolicy

DOCS = Path(__file__).resolve().parents[2] / "docs"


class FakeRobot:
    """Stays where it is told to be; `is_done` may end the loop that drives it."""

    def __init__(self, is_done=lambda: False) -> None:
        self.joints = np.linspace(0, 1, 14, dtype=np.float32)
        self.commands = []
        self._is_done = is_done

    def read(self):
        return self.joints, np.full((480, 640, 3), 90, np.uint8)

    def observe(self):
        joints, frame = self.read()
        return joints, square_image(frame)

    def command(self, target):
        self.commands.append(target)
        if self._is_done():
            raise Done


class Done(Exception):
    """The test has seen enough."""


def examples() -> list[str]:
    """The page's blocks of Python."""
    text = (DOCS / "python-client.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def example(function: str) -> dict:
    """The names of the one example that defines a function."""
    (code,) = (block for block in examples() if f"def {function}(" in block)
    names = {}
    exec(compile(code, "python-client.md", "exec"), names)
    return names


def test_the_real_time_loop_of_the_docs_drives_a_robot(serve_policy):
    names, server = example("control_in_real_time"), serve_policy(HoldPolicy())
    calls = server.servicer.calls
    robot = FakeRobot(is_done=lambda: len(calls) == 3)
    with pytest.raises(Done):
        names["control_in_real_time"](robot, server.address, "hand over the cube", steps=10**6)
    for target in robot.commands:
        np.testing.assert_allclose(target, robot.joints, atol=1e-6)
    assert calls[0].sequence == 0 < calls[1].sequence < calls[2].sequence
    assert {call.observation.task for call in calls} == {"hand over the cube"}
    (frame,) = calls[2].observation.cameras["ego_view"].frames
    assert decode_image(frame, "", 10**6).shape == (256, 256, 3)


def test_the_real_time_loop_of_the_docs_is_short():
    (code,) = (block for block in examples() if "def control_in_real_time(" in block)
    assert len([line for line in code.splitlines() if line.strip()]) < 12


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
