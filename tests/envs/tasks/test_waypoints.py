"""Smooth motion between way-points, and the gripper's axes."""

import numpy as np
import pytest
from handover_envs.tasks.waypoints import Waypoint, angles_of, blend, progress, rotation
from hypothesis import given
from hypothesis import strategies as st

START = Waypoint(time_s=1.0, position=(0.0, 0.5, 0.3), pitch_rad=0.0, gripper=1.0)
END = START.after(2.0, (0.4, 0.5, 0.1), gripper=0.0)
REST = END.after(1.0)
WAY = [START, END, REST]


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [(0.0, (0, 0.0)), (1.0, (0, 0.0)), (2.0, (0, 0.5)), (3.0, (1, 0.0)), (9.0, (1, 1.0))],
)
def test_the_leg_and_its_share_at_known_times(time_s, expected):
    assert progress(WAY, time_s) == pytest.approx(expected)


def test_a_quarter_of_the_time_is_a_tenth_of_the_way():
    # minimum jerk: 10 u³ − 15 u⁴ + 6 u⁵ at u = 1/4
    assert progress(WAY, 1.5)[1] == pytest.approx(10 / 64 - 15 / 256 + 6 / 1024)


def test_a_steady_leg_has_one_speed():
    way = [START, START.after(2.0, (0.4, 0.5, 0.1), steady=True)]
    shares = [progress(way, moment)[1] for moment in (1.0, 1.5, 2.5)]
    assert shares == pytest.approx([0.0, 0.25, 0.75])


@given(st.floats(-1, 6), st.floats(0, 1))
def test_the_hand_never_turns_back_on_a_leg(time_s, later_s):
    before, after = (sum(progress(WAY, moment)) for moment in (time_s, time_s + later_s))
    assert after >= before - 1e-12


def test_the_hand_starts_and_ends_at_rest():
    speed = np.gradient([progress(WAY, moment)[1] for moment in np.linspace(1.0, 2.999, 2000)])
    assert abs(speed[0]) < 1e-6
    assert abs(speed[-1]) < 1e-5


def test_halfway_is_the_mean_of_both_ends():
    middle = blend(START, END, 0.5)
    assert middle.position == pytest.approx((0.2, 0.5, 0.2))
    assert middle.gripper == 0.5
    assert middle.time_s == 2.0


@given(st.floats(-3, 3), st.floats(-3, 3), st.booleans())
def test_axes_are_orthonormal_and_right_handed(pitch, roll, faces_left):
    axes = rotation(pitch, roll, faces_left)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_pitch_tips_the_gripper_down_on_both_sides():
    for faces_left, sign in ((False, 1), (True, -1)):
        np.testing.assert_allclose(rotation(0, 0, faces_left)[:, 0], (sign, 0, 0), atol=1e-12)
        np.testing.assert_allclose(rotation(np.pi / 2, 0, faces_left)[:, 0], (0, 0, -1), atol=1e-12)


@given(st.floats(-1.5, 1.5), st.floats(-3, 3), st.floats(-3, 3), st.booleans())
def test_angles_of_a_rotation_build_it_again(pitch, roll, yaw, faces_left):
    axes = rotation(pitch, roll, faces_left, yaw)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    pitch, roll, yaw = angles_of(axes, faces_left)
    np.testing.assert_allclose(rotation(pitch, roll, faces_left, yaw), axes, atol=1e-6)
