"""From any moment of an episode, an expert goes on: what is done already is not done again."""

from dataclasses import replace

import numpy as np
import pytest
from handover_envs.tasks.insertion import INSERTION, PEG, PIN, SOCKET
from handover_envs.tasks.task import LEFT_FINGERS, RIGHT_FINGERS, Situation
from handover_envs.tasks.transfer_cube import CUBE, TRANSFER_CUBE
from handover_envs.tasks.variation import Variation
from handover_envs.tasks.waypoints import Waypoint, rotation

DOWN = np.radians(70)
HOME = {
    "left": Waypoint(0.0, (-0.18, 0.5, 0.31), 0.0, 0.0),
    "right": Waypoint(0.0, (0.18, 0.5, 0.31), 0.0, 0.0),
}
PARTS = np.array([[0.15, 0.5, 0.01, 1, 0, 0, 0], [-0.15, 0.5, 0.022, 1, 0, 0, 0]], np.float64)
BOX = np.array([[0.1, 0.5, 0.02, 1, 0, 0, 0]], np.float64)
HELD = [(PEG[0], RIGHT_FINGERS[0]), (SOCKET[0], LEFT_FINGERS[0])]


def contacts(*pairs):
    return frozenset(frozenset(pair) for pair in pairs)


def insertion(hands=HOME, poses=PARTS, touching=()):
    plan = INSERTION.plan(
        Situation(poses, hands, contacts(*touching)), Variation(np.random.default_rng(0))
    )
    return plan["left"], plan["right"]


def transfer(hands=HOME, poses=BOX, touching=()):
    plan = TRANSFER_CUBE.plan(
        Situation(poses, hands, contacts(*touching)), Variation(np.random.default_rng(0))
    )
    return plan["left"], plan["right"]


def hand(position, gripper, pitch_rad=DOWN, roll_rad=0.0):
    return Waypoint(0.0, position, pitch_rad, gripper, roll_rad)


def test_from_home_the_parts_meet_in_five_seconds():
    for path in insertion():
        assert [place.gripper for place in path[:3]] == [0, 1, 1]  # home, above, at the part
        assert path[3].gripper < 0.3
        assert 4 < path[-1].time_s < 5.5
        times = [place.time_s for place in path]
        assert times == sorted(times)


def test_an_open_hand_over_its_part_goes_straight_down():
    _, right = insertion({**HOME, "right": hand((0.16, 0.5, 0.06), 1.0)})
    assert right[1].position == pytest.approx((0.15, 0.5, 0.022), abs=0.003)
    assert right[1].time_s < 0.5
    _, again = insertion({**HOME, "right": hand((0.16, 0.5, 0.06), 0.3)})
    assert again[1].position[2] > 0.08  # half closed, it would push the part: it goes up and opens


@pytest.mark.parametrize("gripper", [1.0, 0.5])
def test_a_hand_around_its_part_closes_at_once(gripper):
    _, right = insertion({**HOME, "right": hand((0.151, 0.502, 0.023), gripper)})
    assert right[1].position == right[0].position
    assert right[1].gripper == 0.0
    assert right[1].time_s == pytest.approx(0.5 * gripper, rel=0.1)


def test_hands_that_face_each_other_push_without_going_back():
    poses = np.array([[0.09, 0.5, 0.17, 1, 0, 0, 0], [-0.09, 0.501, 0.17, 1, 0, 0, 0]])
    hands = {"right": hand((0.09, 0.5, 0.18), 0.0), "left": hand((-0.09, 0.501, 0.17), 0.25)}
    for path in insertion(hands, poses, HELD):
        assert len(path) == 2
        assert abs(path[1].position[0]) == pytest.approx(0.04, abs=0.006)
    poses[0, 2] += 0.01  # not on one line: first apart
    assert [len(path) for path in insertion(hands, poses, HELD)] == [3, 3]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_that_is_held_askew_is_leveled(axis):
    tilt = 0.2
    poses = PARTS.copy()
    poses[:, 2] += 0.15
    poses[0, 3:] = [np.cos(tilt / 2), *(np.sin(tilt / 2) * np.eye(3)[axis])]
    right = hand((0.15, 0.5, 0.17), 0.0)
    _, path = insertion({"left": hand((-0.15, 0.5, 0.17), 0.25), "right": right}, poses, HELD)
    before = rotation(right.pitch_rad, right.roll_rad, faces_left=True)
    after = rotation(path[1].pitch_rad, path[1].roll_rad, True, path[1].yaw_rad)
    turned = after @ before.T
    back = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    back[[i, j], [i, j]] = np.cos(tilt)
    back[i, j], back[j, i] = np.sin(tilt), -np.sin(tilt)
    np.testing.assert_allclose(turned, back, atol=1e-9)


def test_what_is_inserted_is_left_as_it_is():
    hands = {"right": hand((0.04, 0.5, 0.18), 0.0), "left": hand((-0.04, 0.5, 0.17), 0.25)}
    for path in insertion(hands, touching=[*HELD, (PEG[0], PIN[0])]):
        assert path[1] == replace(path[0], time_s=0.2)


def test_the_right_hand_around_the_cube_closes_at_once():
    _, right = transfer({**HOME, "right": hand((0.105, 0.5, 0.025), 0.6)})
    assert right[1].position == right[0].position
    assert right[1].gripper == 0.2
    assert right[1].time_s < 0.3


def test_a_lifted_cube_is_shown_in_the_time_that_its_way_needs():
    poses = np.array([[0.0, 0.5, 0.19, 1, 0, 0, 0]])
    held = [(CUBE[0], RIGHT_FINGERS[0])]
    near, far = hand((0.01, 0.5, 0.19), 0.2), hand((0.15, 0.6, 0.05), 0.2)
    times = [transfer({**HOME, "right": there}, poses, held)[1][1].time_s for there in (near, far)]
    assert times[0] < 0.25
    assert times[1] > 1.2


def test_the_left_hand_is_waited_for_wherever_it_comes_from():
    poses = np.array([[0.0, 0.5, 0.2, 1, 0, 0, 0]])
    held = [(CUBE[0], RIGHT_FINGERS[0])]
    left, right = transfer({**HOME, "right": hand((0.0, 0.5, 0.2), 0.2)}, poses, held)
    assert left[1].time_s > 0.8  # beside the cube, from home
    released = next(place for place in right if place.gripper == 1.0)
    assert released.time_s > left[2].time_s


def test_a_cube_that_both_hold_is_let_go_at_once():
    poses = np.array([[0.0, 0.5, 0.2, 1, 0, 0, 0]])
    held = [(CUBE[0], RIGHT_FINGERS[0]), (CUBE[0], LEFT_FINGERS[0])]
    hands = {
        "right": hand((0.0, 0.5, 0.2), 0.2),
        "left": hand((0.0, 0.5, 0.19), 0.2, 0.0, np.pi / 2),
    }
    _, right = transfer(hands, poses, held)
    released = next(place for place in right if place.gripper == 1.0)
    assert released.time_s < 0.6
