"""The experts do their tasks, and the same seed gives the same plan."""

import numpy as np
import pytest

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_envs.experts.expert import Expert, ScriptedPolicy, Trajectory  # noqa: E402
from handover_envs.simulator.simulator import AlohaSimulator  # noqa: E402
from handover_envs.tasks import TASKS  # noqa: E402

EVERY_TASK = pytest.mark.parametrize("task", list(TASKS))
SEEDS = range(2000, 2004)  # benchmarks/evaluation/experts.py counts a hundred others


def play(simulator: AlohaSimulator, plan: Trajectory) -> list[int]:
    simulator.reset(plan.seed)
    return [simulator.step(targets) for targets in plan.targets]


@EVERY_TASK
def test_the_last_step_is_a_success_in_both_senses(task):
    expert = Expert(task)
    with AlohaSimulator(task) as simulator:
        for seed in SEEDS:
            rewards = play(simulator, expert.plan(seed))
            assert rewards[-1] == 4, f"seed {seed}"
            assert simulator.is_held, f"seed {seed}"
            assert rewards[0] == 0


@EVERY_TASK
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(task):
    first, again = Expert(task), Expert(task)
    first.plan(8)  # an earlier plan must leave no trace
    np.testing.assert_array_equal(first.plan(7).targets, again.plan(7).targets)
    assert not np.array_equal(first.plan(7).targets, first.plan(8).targets)


@EVERY_TASK
def test_targets_are_joint_angles_that_move_smoothly(task):
    plan = Expert(task).plan(1)
    assert plan.targets.shape == (400, 14)
    assert plan.targets.dtype == np.float32
    arms, grippers = np.delete(plan.targets, [6, 13], axis=1), plan.targets[:, [6, 13]]
    assert np.abs(np.diff(arms, axis=0)).max() < 0.06  # 3 rad/s at 50 Hz
    assert grippers.min() >= 0
    assert grippers.max() <= 1


@EVERY_TASK
def test_20_hz_targets_played_back_at_50_hz_still_succeed(task):
    expert = Expert(task)
    times_s = np.arange(400) / 50
    with AlohaSimulator(task) as simulator:
        for seed in list(SEEDS)[:2]:
            rows = expert.plan(seed).at(np.arange(160) / 20)
            before = np.minimum((np.round(times_s * 20, 9)).astype(int), 159)
            after = np.minimum(before + 1, 159)
            share = (times_s * 20 - before).clip(0, 1)[:, None]
            targets = (1 - share) * rows[before] + share * rows[after]  # linear in the arms
            targets[:, [6, 13]] = rows[before][:, [6, 13]]  # held in the grippers
            simulator.reset(seed)
            assert [simulator.step(target) for target in targets][-1] == 4, f"seed {seed}"


def ramp() -> Trajectory:
    steps = np.arange(400, dtype=np.float32)
    return Trajectory("transfer_cube", 0, np.repeat(steps[:, None], 14, axis=1))


def test_between_steps_arms_are_linear_and_grippers_nearest():
    targets = ramp().at(np.array([0.0, 0.05, 0.1, 0.112]))  # steps 0, 2.5, 5, 5.6
    np.testing.assert_allclose(targets[:, 0], [0, 2.5, 5, 5.6], rtol=1e-6)
    np.testing.assert_array_equal(targets[:, 6], [0, 2, 5, 6])  # the earlier of two


def test_after_the_end_the_last_target_rests():
    np.testing.assert_array_equal(ramp().at(np.array([8.0, 100.0])), np.full((2, 14), 399))


def test_the_policys_chunk_is_the_plan_from_then_on():
    policy = ScriptedPolicy("transfer_cube")
    with pytest.raises(RuntimeError, match="reset"):
        policy.chunk(0.0)
    policy.reset(5)
    plan = Expert("transfer_cube").plan(5)
    np.testing.assert_array_equal(policy.chunk(1.0), plan.at(1.0 + np.arange(16) / 20))
    np.testing.assert_array_equal(policy.chunk(1.0, 5, rate_hz=50), plan.targets[50:55])


def test_an_unknown_task_is_refused():
    from handover_common.errors import UsageError

    with pytest.raises(UsageError, match="insertion"):
        Expert("juggling")  # type: ignore[arg-type]
