"""TransferCube mirrored: start poses, rewards and paths are those of TransferCube in a mirror."""

import numpy as np
import pytest
from handover_envs.tasks import (
    LEFT_FINGERS,
    RIGHT_FINGERS,
    TASKS,
    Situation,
    Variation,
    Waypoint,
    find_task,
)
from handover_envs.tasks.names import OURS

CUBE, TABLE = "red_box", "table"
LEFT_TASK = find_task("transfer_cube_left")


def contacts(*pairs: tuple[str, str]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair) for pair in pairs)


def test_the_named_tasks_are_the_registered_ones():
    assert tuple(TASKS) == OURS
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize(
    ("touching", "reward", "held"),
    [
        ([(CUBE, TABLE)], 0, False),
        ([(CUBE, TABLE), (CUBE, LEFT_FINGERS[0])], 1, False),
        ([(CUBE, LEFT_FINGERS[1])], 2, False),
        ([(CUBE, TABLE), (CUBE, RIGHT_FINGERS[0])], 3, False),
        ([(CUBE, LEFT_FINGERS[0]), (CUBE, RIGHT_FINGERS[1])], 4, False),
        ([(CUBE, RIGHT_FINGERS[1])], 4, True),
    ],
)
def test_rewards_count_the_left_hand_as_giver(touching, reward, held):
    assert LEFT_TASK.reward(contacts(*touching)) == reward
    assert LEFT_TASK.is_held(contacts(*touching)) is held


def test_the_paths_are_mirrored():
    home = {
        "left": Waypoint(0.0, (-0.2, 0.5, 0.3), 0.1, 0.0),
        "right": Waypoint(0.0, (0.2, 0.5, 0.3), 0.1, 0.0),
    }

    def plan(task, x):
        pose = np.array([[x, 0.45, 0.05, 1, 0, 0, 0]])
        return find_task(task).plan(Situation(pose, home), Variation(np.random.default_rng(5)))

    right_first, left_first = plan("transfer_cube", 0.1), plan("transfer_cube_left", -0.1)
    for side, other in (("left", "right"), ("right", "left")):
        assert len(right_first[side]) == len(left_first[other])
        for place, mirrored in zip(right_first[side], left_first[other], strict=True):
            x, y, z = place.position
            assert mirrored.position == (-x, y, z)
            assert mirrored.roll_rad == -place.roll_rad
            times = (mirrored.time_s, mirrored.pitch_rad, mirrored.gripper)
            assert times == (place.time_s, place.pitch_rad, place.gripper)


def test_the_cube_starts_on_the_left_hands_side():
    pytest.importorskip("gym_aloha", reason="needs the extra 'sim'")
    for seed in range(20):
        pose, mirrored = find_task("transfer_cube").start_poses(seed), LEFT_TASK.start_poses(seed)
        assert -0.2 <= mirrored[0, 0] <= 0
        np.testing.assert_array_equal(mirrored, pose * (-1, 1, 1, 1, 1, 1, 1))
