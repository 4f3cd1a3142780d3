"""Smooth motion between way-points, and the gripper's axes."""

import numpy as np
import pytest
from handover_envs.tasks.waypoints import (
    Waypoint,
    angles_of,
    beside,
    blend,
    progress,
    rotation,
    way,
)
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
    path = [START, START.after(2.0, (0.4, 0.5, 0.1), sets_off=1.0, arrives=1.0)]
    shares = [progress(path, moment)[1] for moment in (1.0, 1.5, 2.5)]
    assert shares == pytest.approx([0.0, 0.25, 0.75])


@given(st.floats(0, 1.5), st.floats(0, 1.5))
def test_a_leg_begins_and_ends_at_the_speeds_it_is_given(sets_off, arrives):
    path = [START, START.after(2.0, (0.4, 0.5, 0.1), sets_off=sets_off, arrives=arrives)]
    step_s = 1e-4
    first, last = progress(path, 1.0 + step_s)[1], progress(path, 3.0 - step_s)[1]
    assert first / (step_s / 2.0) == pytest.approx(sets_off, abs=1e-3)
    assert (1 - last) / (step_s / 2.0) == pytest.approx(arrives, abs=1e-3)


def test_the_distance_from_a_line_ends_at_its_ends():
    assert way((0.0, 0.0, 0.0), (0.3, 0.0, 0.4)) == pytest.approx(0.5)
    ends = (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)
    assert beside((0.03, 0.0, 0.05), *ends) == pytest.approx(0.03)
    assert beside((0.03, 0.0, 0.14), *ends) == pytest.approx(0.05)
    assert beside((0.0, -0.03, -0.04), *ends) == pytest.approx(0.05)


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
