"""What is too old to act on, and cameras that show one picture."""

import numpy as np
from handover_client.drive.robots.interface import CameraFrame, Reading
from handover_client.drive.watch import Watch


def reading(time_s, frame_s, level=0):
    image = np.full((32, 32, 3), level, np.uint8)
    return Reading(np.zeros(14), time_s, {"top": CameraFrame(image, frame_s)})


def test_old_joints_and_old_frames_are_nothing_to_act_on():
    watch = Watch(0.25, 1.0, same_picture=False)
    assert watch.problem(reading(10.0, 10.0), 10.2) == ""
    assert watch.problem(reading(10.0, 10.0), 10.3) == "old joints: of 0.30 s ago"
    assert watch.problem(reading(11.1, 10.0), 11.2) == "camera top is frozen: for 1.20 s"
    assert watch.problem(reading(float("nan"), 10.0), 10.0) != ""


def test_a_picture_that_does_not_change_is_frozen_where_pictures_have_noise():
    watch = Watch(0.25, 1.0, same_picture=True)
    assert watch.problem(reading(0.0, 0.0, 7), 0.1) == ""
    assert watch.problem(reading(0.9, 0.9, 7), 1.0) == ""
    assert watch.problem(reading(1.4, 1.4, 7), 1.5) == "camera top is frozen: for 1.50 s"
    assert watch.problem(reading(1.6, 1.6, 8), 1.7) == ""
