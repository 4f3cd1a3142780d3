"""The simulator through gymnasium's interface."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.sim
gymnasium = pytest.importorskip("gymnasium", reason="needs the extra 'sim'")
pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_envs.experts.expert import Expert  # noqa: E402
from handover_envs.simulator.gymnasium_env import ENVIRONMENTS, register  # noqa: E402
from handover_envs.simulator.simulator import AlohaSimulator  # noqa: E402

TRANSFER, INSERTION = list(ENVIRONMENTS)[:2]


def test_importing_registers_nothing():
    code = (
        "import gymnasium, handover_envs.simulator.gymnasium_env\n"
        "assert not any(name.startswith('handover/') for name in gymnasium.registry)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_registering_twice_does_no_harm():
    register()
    register()
    assert set(ENVIRONMENTS) <= set(gymnasium.registry)


@pytest.mark.parametrize("name", [TRANSFER, INSERTION])
def test_an_episode_is_the_simulators(name):
    register()
    environment = gymnasium.make(name, disable_env_checker=True)
    observation, told = environment.reset(seed=9)
    assert observation in environment.observation_space
    assert told == {"is_success": False, "seed": 9}
    actions = (
        np.random.default_rng(0)
        .uniform(environment.action_space.low, environment.action_space.high, (5, 14))
        .astype(np.float32)
    )
    with AlohaSimulator(ENVIRONMENTS[name]) as simulator:
        np.testing.assert_array_equal(simulator.reset(9), observation["agent_pos"])
        for action in actions:
            assert action in environment.action_space
            observation, reward, terminated, truncated, _ = environment.step(action)
            assert reward == simulator.step(action)
            assert (terminated, truncated) == (False, False)
            np.testing.assert_array_equal(simulator.state, observation["agent_pos"])
    environment.close()


@pytest.mark.parametrize("name", [TRANSFER, INSERTION])
def test_an_episode_ends_where_the_reward_is_four(name):
    register()
    environment = gymnasium.make(name, disable_env_checker=True)
    environment.reset(seed=2000)
    for targets in Expert(ENVIRONMENTS[name]).plan(2000).targets:
        _, reward, terminated, truncated, told = environment.step(targets)
        assert terminated == told["is_success"] == (reward == 4)
        if terminated:
            break
    assert (reward, truncated) == (4, False)
    environment.close()


def test_actions_reach_past_gym_alohas_box():
    register()
    space = gymnasium.make(TRANSFER, disable_env_checker=True).action_space
    assert space.low.min() < -3
    assert space.high.max() > 3
    assert space.low[[6, 13]].tolist() == [0, 0]
    assert space.high[[6, 13]].tolist() == [1, 1]


def test_an_unseeded_reset_follows_from_the_seed_before():
    register()
    environment = gymnasium.make(TRANSFER, disable_env_checker=True)
    seeds = []
    for _ in range(2):
        environment.reset(seed=3)
        seeds.append(environment.reset()[1]["seed"])
    assert seeds[0] == seeds[1] != 3


def test_episodes_are_as_long_as_the_demonstrations():
    register()
    assert gymnasium.spec(TRANSFER).max_episode_steps == 400


def test_pixels_are_the_top_camera():
    register()
    environment = gymnasium.make(TRANSFER, obs_type="pixels_agent_pos", disable_env_checker=True)
    observation, _ = environment.reset(seed=0)
    assert observation in environment.observation_space
    difference = np.abs(environment.render().astype(int) - observation["pixels"]["top"])
    assert difference.mean() < 0.01
    environment.close()


def test_an_unknown_observation_is_refused():
    register()
    with pytest.raises(ValueError, match="pixels_agent_pos"):
        gymnasium.make(TRANSFER, obs_type="depth")


def test_a_render_mode_is_offered_or_refused():
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium.make(TRANSFER, render_mode="rgb_array").close()
    with (
        pytest.warns(UserWarning, match="not in the possible render_modes"),
        pytest.raises(ValueError, match="expected rgb_array"),
    ):
        gymnasium.make(TRANSFER, render_mode="ansi")
