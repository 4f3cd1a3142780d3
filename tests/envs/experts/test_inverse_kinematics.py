"""Solving for joint angles undoes forward kinematics, within the arm's reach."""

import numpy as np
import pytest

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_envs.experts.inverse_kinematics import (  # noqa: E402
    HOME_ANGLES,
    ArmKinematics,
    GripperPose,
    OutOfReach,
)
from handover_envs.simulator.loading import load_world  # noqa: E402
from handover_envs.tasks import find_task  # noqa: E402


@pytest.fixture(scope="module", params=["left", "right"])
def arm(request) -> ArmKinematics:
    load_world()
    return ArmKinematics(request.param, find_task("transfer_cube").scene())


def test_home_is_where_gym_aloha_says(arm):
    # gym_aloha/tasks/sim_end_effector.py, initialize_robots: the gripper_link at home
    from handover_envs.experts.inverse_kinematics import GRASP_POINT

    pose = arm.pose(np.array(HOME_ANGLES))
    gripper_link = pose.position - pose.rotation @ GRASP_POINT
    sign = -1 if arm.side == "left" else 1
    np.testing.assert_allclose(gripper_link, (sign * 0.31718881, 0.5, 0.29525084), atol=1e-4)


def test_solving_undoes_the_forward_kinematics(arm):
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = np.add((0.0, -0.5, 1.0, 0.0, 0.6, 0.0), rng.uniform(-0.3, 0.3, 6))
        wanted = arm.pose(angles)
        found = arm.pose(arm.solve(wanted, angles + rng.uniform(-0.2, 0.2, 6)))
        np.testing.assert_allclose(found.position, wanted.position, atol=1e-4)
        np.testing.assert_allclose(found.rotation, wanted.rotation, atol=2e-3)


def test_a_pose_that_is_reached_already_is_left_alone(arm):
    home = np.array(HOME_ANGLES)
    np.testing.assert_array_equal(arm.solve(arm.pose(home), home), home)


def test_a_pose_beyond_the_arm_is_refused_with_the_distance_left(arm):
    home = arm.pose(np.array(HOME_ANGLES))
    far = GripperPose(np.add(home.position, (0.0, 2.0, 0.0)), home.rotation)
    with pytest.raises(OutOfReach, match=f"{arm.side} gripper cannot reach .* mm"):
        arm.solve(far, np.array(HOME_ANGLES))
