"""Joints and frames of one moment: frames come later than the joints of their time."""

import numpy as np
from handover_client.drive.moments import JointHistory, NearestFrames
from handover_client.drive.robots.interface import CameraFrame


def frame(time_s):
    return CameraFrame(np.full((2, 2, 3), round(100 * time_s), np.uint8), time_s)


def times_s(chosen):
    return [each["top"].time_s for each in chosen]


def test_joints_are_those_of_the_time_that_is_asked_for():
    history = JointHistory()
    for step in range(5):
        history.add(10 + 0.02 * step, np.array([step, -step], float))
    history.add(10.08, np.array([99.0, 99.0]))  # read again
    for time_s, joints, of_s in (
        (10.03, [1.5, -1.5], 10.03),
        (10.04, [2, -2], 10.04),
        (9.0, [0, 0], 10.0),
        (11.0, [4, -4], 10.08),
    ):
        found, found_s = history.at(time_s)
        np.testing.assert_allclose(found, joints, atol=1e-9)
        assert abs(found_s - of_s) < 1e-9


def test_a_step_gets_the_frame_that_was_taken_nearest_though_it_comes_later():
    nearest, chosen = NearestFrames(["top"]), []
    taken = [frame(0.0), frame(0.1), frame(0.2)]
    for step in range(16):  # each frame is there 0.08 s after it was taken
        newest = taken[max(0, min(2, (step - 4) // 5))]
        chosen += times_s(nearest.add(0.02 * step, {"top": newest}))
    assert chosen == [0.0] * 3 + [0.1] * 5 + [0.2] * 3
    assert times_s(nearest.rest()) == [0.2] * 5
    assert times_s(nearest.rest()) == []


def test_a_camera_that_has_stopped_is_waited_for_no_longer_than_a_second():
    nearest, chosen = NearestFrames(["top", "wrist"]), []
    for step in range(100):
        now_s = 0.02 * step
        frames = {"top": frame(now_s), "wrist": frame(0.0)}
        chosen += [each["top"].time_s for each in nearest.add(now_s, frames)]
    np.testing.assert_allclose(chosen, 0.02 * np.arange(len(chosen)))
    assert 45 <= len(chosen) <= 50


def test_without_cameras_every_step_is_decided_at_once():
    assert list(NearestFrames([]).add(1.0, {})) == [{}]
