"""The simulator against gym-aloha's own environment, and its own promises."""

import numpy as np
import pytest
from handover_common.errors import UsageError

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_conversion.video.resize import square_resize  # noqa: E402
from handover_envs.experts.expert import Expert  # noqa: E402
from handover_envs.simulator.rendering import choose_backend  # noqa: E402
from handover_envs.simulator.simulator import AlohaSimulator, SimulationFailed  # noqa: E402

HOME = np.array([0, -0.96, 1.16, 0, -0.3, 0, 0] * 2)  # gym_aloha/constants.py, START_ARM_POSE
# those that gym-aloha has too
EVERY_TASK = pytest.mark.parametrize("task", ["transfer_cube", "insertion"])


def wander(steps: int, seed: int = 0) -> np.ndarray:
    """Joint targets far outside [-1, 1], which wave the arms and the grippers: (steps, 14)."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps)[:, None] / 50
    waves = np.sin(2 * np.pi * rng.uniform(0.2, 1.5, 14) * time + rng.uniform(0, 6, 14))
    targets = HOME + waves * rng.uniform(0.2, 1.2, 14)
    targets[:, [6, 13]] = 0.5 + 0.5 * waves[:, [6, 13]]
    return targets


def stock_environment(task: str):
    """gym-aloha's own environment, drawing through the backend that ours chooses."""
    choose_backend()
    from gym_aloha.env import AlohaEnv

    return AlohaEnv(task, obs_type="pixels_agent_pos")


def play_stock(task: str, seed: int, targets: np.ndarray, monkeypatch) -> tuple:
    """Step gym-aloha's own environment with its cameras covered, which saves minutes."""
    environment = stock_environment(task)
    black = np.zeros((480, 640, 3), np.uint8)
    monkeypatch.setattr(environment._env.physics, "render", lambda **_: black)
    observation, _ = environment.reset(seed=seed)
    states, rewards = [observation["agent_pos"]], []
    qpos = [environment._env.physics.data.qpos.copy()]
    for target in targets:
        observation, reward, *_ = environment.step(target)
        states.append(observation["agent_pos"])
        rewards.append(reward)
        qpos.append(environment._env.physics.data.qpos.copy())
    return np.array(states), np.array(rewards), np.array(qpos)


def play_ours(simulator: AlohaSimulator, seed: int, targets: np.ndarray) -> tuple:
    states, rewards = [simulator.reset(seed)], []
    qpos = [simulator.qpos]
    for target in targets:
        rewards.append(simulator.step(target))
        states.append(simulator.state)
        qpos.append(simulator.qpos)
    return np.array(states), np.array(rewards), np.array(qpos)


@EVERY_TASK
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_physics_equal_gym_aloha_bit_for_bit(task, dtype, monkeypatch):
    targets = wander(400).astype(dtype)
    assert np.abs(targets).max() > 1.5
    theirs = play_stock(task, 7, targets, monkeypatch)
    with AlohaSimulator(task) as simulator:
        simulator.reset(3)  # an earlier episode must leave no trace
        simulator.step(HOME)
        ours = play_ours(simulator, 7, targets)
    for their_values, our_values in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(our_values, their_values)


@EVERY_TASK
def test_a_whole_success_earns_gym_alohas_rewards(task, monkeypatch):
    targets = Expert(task).plan(12).targets
    _, their_rewards, their_qpos = play_stock(task, 12, targets, monkeypatch)
    with AlohaSimulator(task) as simulator:
        _, our_rewards, our_qpos = play_ours(simulator, 12, targets)
    assert {0, 2, 4} <= set(their_rewards.tolist())
    np.testing.assert_array_equal(our_rewards, their_rewards)
    np.testing.assert_array_equal(our_qpos, their_qpos)


@EVERY_TASK
def test_drawing_changes_no_physics_and_the_image_is_gym_alohas(task):
    environment = stock_environment(task)
    theirs, _ = environment.reset(seed=11)
    for target in (targets := wander(2)):
        theirs, *_ = environment.step(target)
    with AlohaSimulator(task) as simulator:
        simulator.reset(11)
        for target in targets:
            simulator.step(target)
        ours = simulator.render()
        np.testing.assert_array_equal(simulator.state, theirs["agent_pos"])
    assert ours.shape == (480, 640, 3)
    assert ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - theirs["pixels"]["top"])
    assert difference.mean() < 0.01
    assert (difference > 8).mean() < 1e-4


def test_the_policys_image_is_cropped_and_resized_as_conversion_does(monkeypatch):
    drawn = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with AlohaSimulator("transfer_cube") as simulator:
        monkeypatch.setattr(simulator, "_draw", lambda *_: drawn)
        image = simulator.render(256)
    np.testing.assert_array_equal(image, square_resize(drawn, 256))


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_without_pixels_is_refused(size):
    with AlohaSimulator("transfer_cube") as simulator, pytest.raises(UsageError, match="size"):
        simulator.render(size)


def test_two_simulators_in_one_process_do_not_disturb_each_other():
    targets = wander(60)
    with AlohaSimulator("transfer_cube") as alone:
        expected = play_ours(alone, 5, targets)
    with AlohaSimulator("transfer_cube") as first, AlohaSimulator("insertion") as second:
        first.reset(5)
        second.reset(6)
        states = []
        for target in targets:
            first.step(target)
            second.step(-target)
            states.append(first.state)
    np.testing.assert_array_equal(np.array(states), expected[0][1:])


def test_objects_start_where_the_seed_says():
    with AlohaSimulator("insertion") as simulator:
        simulator.reset(4)
        peg, socket = simulator.start_poses
        assert 0.1 <= peg[0] <= 0.2
        assert -0.2 <= socket[0] <= -0.1
        np.testing.assert_array_equal(simulator.object_poses, simulator.start_poses)
        simulator.step(HOME)  # they fall the last centimetres to the table
        assert (simulator.object_poses[:, 2] < simulator.start_poses[:, 2]).all()


def test_a_seed_gives_the_same_episode_again_and_another_seed_another():
    with AlohaSimulator("transfer_cube") as simulator:
        first = play_ours(simulator, 1, wander(50))
        other = play_ours(simulator, 2, wander(50))
        again = play_ours(simulator, 1, wander(50))
    np.testing.assert_array_equal(first[2], again[2])
    assert not np.array_equal(first[2], other[2])


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (np.zeros(16), "shape .16,., expected .14,."),
        (np.where(np.arange(14) == 3, np.nan, HOME), "left_forearm_roll"),
    ],
)
def test_bad_targets_are_refused_by_name(targets, words):
    with AlohaSimulator("transfer_cube") as simulator:
        simulator.reset(0)
        with pytest.raises(SimulationFailed, match=words):
            simulator.step(targets)
        assert simulator.steps == 0


def test_a_step_before_the_first_reset_is_refused():
    with AlohaSimulator("transfer_cube") as simulator, pytest.raises(SimulationFailed):
        simulator.step(HOME)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_gym_aloha_cannot_take_are_refused(seed):
    with AlohaSimulator("transfer_cube") as simulator, pytest.raises(UsageError, match="seed"):
        simulator.reset(seed)


def test_an_unknown_task_or_look_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="transfer_cube, insertion"):
        AlohaSimulator("juggling")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="default, fast"):
        AlohaSimulator("insertion", look="best")  # type: ignore[arg-type]
