"""Where on a plan a robot is: on its way, late, off it, and with the object lost."""

import numpy as np
import pytest
from handover_envs.experts.expert import Expert
from handover_envs.simulator.simulator import AlohaSimulator
from handover_training.aloha_mini.data.corrections import PlanFollower
from handover_training.aloha_mini.data.snapshots import CHUNK_TIMES_S

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module")
def plan():
    return Expert("insertion").plan(3)


@pytest.fixture(scope="module")
def simulator():
    with AlohaSimulator("insertion", "plain") as simulator:
        yield simulator


def test_a_robot_on_its_way_is_told_the_plan(plan, simulator):
    follower = PlanFollower(plan, simulator)
    simulator.reset(3)
    for step in range(200):
        if step % 10 == 0:
            chunk = follower.chunk(simulator.state, simulator.object_poses)
            expected = plan.at(step / 50 + CHUNK_TIMES_S)
            assert chunk is not None
            assert np.abs(chunk - expected).max() < 0.08, step  # within a step or two
        simulator.step(plan.targets[step])


def test_a_robot_that_stands_still_is_told_the_same_again(plan, simulator):
    follower = PlanFollower(plan, simulator)
    simulator.reset(3)
    for step in range(60):
        simulator.step(plan.targets[step])
    first = follower.chunk(simulator.state, simulator.object_poses)
    again = follower.chunk(simulator.state, simulator.object_poses)
    np.testing.assert_array_equal(first, again)


def test_nothing_is_told_where_the_plan_is_no_guide(plan, simulator):
    follower = PlanFollower(plan, simulator)
    simulator.reset(3)
    moved = simulator.object_poses
    moved[0, 0] += 0.03
    assert follower.chunk(simulator.state, moved) is None
    assert follower.chunk(simulator.state + 0.5, simulator.object_poses) is None
    for targets in plan.targets[:200]:  # further than a robot comes between two looks
        simulator.step(targets)
    assert follower.chunk(simulator.state, simulator.object_poses) is None
