"""Robot seen through frames that are old: joints and frames of one moment, or of two."""

import numpy as np
import pytest
from handover_client.control.joint_layout import find_joint_layout
from handover_client.control.robot_view import view_for
from handover_client.rollout.watched_robot import FrameAge, WatchedRobot
from handover_server.policies.hold import ALOHA_HOLD

from ..stand_ins import PointRobot


class ShownRobot(PointRobot):
    """Draws how far its first joint has come, now or then."""

    def render(self, size=None, camera="top", qpos=None):
        shown = self.joints if qpos is None else qpos
        return np.full((*size, 3), round(100 * shown[0]), np.uint8)


@pytest.mark.parametrize(
    ("age", "seen"),
    [
        (FrameAge(), [(0, 0, 0.0), (1, 1, 0.0), (2, 2, 0.0), (3, 3, 0.0)]),
        (FrameAge(2, 0.02), [(0, 0, 0.0), (0, 0, 0.02), (0, 0, 0.04), (1, 1, 0.04)]),
        (FrameAge(2, 0.02, is_known=False), [(0, 0, 0.0), (1, 0, 0.0), (2, 0, 0.0), (3, 1, 0.0)]),
    ],
)
def test_joints_frames_and_the_age_that_is_told(age, seen):
    layout = find_joint_layout(ALOHA_HOLD)
    view = view_for(ALOHA_HOLD, layout, "lift", control_steps=2.5, cameras=["top"], told={})
    robot = ShownRobot()
    robot.reset(0)
    watched, found = WatchedRobot(robot, view, age), []
    for step in range(4):
        if step:
            watched.step(np.full(14, step / 100, np.float32))
        joints, observation, age_s = watched.observe()
        (frame,) = observation.cameras["ego_view"]
        state = layout.joints(observation.state)[-1]
        np.testing.assert_allclose(state, joints, atol=1e-6)
        found.append((round(100 * joints[0]), int(frame[0, 0, 0]), pytest.approx(age_s)))
    assert found == seen
