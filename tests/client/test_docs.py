"""The control loop of docs/python-client.md, run as it stands there."""

import re
from pathlib import Path

import numpy as np
from handover_proto.codec import decode_image
from handover_proto.embodiment import narrow, widen
from handover_server.policies import HoldPolicy

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


def test_the_control_loop_of_the_docs_moves_a_robot(serve_policy):
    (code,) = re.findall(
        r"```python\n(.*?)```", (DOCS / "python-client.md").read_text(), flags=re.DOTALL
    )
    names = {}
    exec(compile(code, "python-client.md", "exec"), names)
    server, robot = serve_policy(HoldPolicy()), FakeRobot()
    names["control"](robot, server.address, "hand over the cube", chunks=2)
    assert len(robot.commands) == 16
    for target in robot.commands:
        np.testing.assert_array_equal(target, narrow(widen(robot.joints)))
    assert [call.sequence for call in server.servicer.calls] == [0, 8]
    (frame,) = server.servicer.calls[0].observation.cameras["ego_view"].frames
    assert decode_image(frame, "", 10**6).shape == (256, 256, 3)
