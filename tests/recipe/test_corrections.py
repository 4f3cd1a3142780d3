"""Corrections: a file per episode, with the expert's chunk at each of the policy's requests."""

from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_envs.experts.expert import Expert  # noqa: E402
from handover_envs.simulator.simulator import AlohaSimulator  # noqa: E402
from handover_proto.embodiment import split_groups, widen  # noqa: E402
from handover_proto.types import PolicyOutput  # noqa: E402
from handover_server.policies.hold import HoldPolicy  # noqa: E402
from handover_training.aloha_mini.configs import CorrectionsConfig  # noqa: E402
from handover_training.aloha_mini.data.corrections import collect_corrections  # noqa: E402

CHUNK_S = np.arange(16) / 20


class PlanPolicy(HoldPolicy):
    """Answers with an expert's plan, by the number of the policy's steps."""

    def __init__(self, plan):
        super().__init__(replace(HoldPolicy().spec, policy="plan"))
        self._plan = plan

    def infer(self, requests):
        chunks = [self._plan.at(request.sequence / 20 + CHUNK_S) for request in requests]
        return [PolicyOutput(split_groups(widen(chunk))) for chunk in chunks]


def corrections(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_a_policy_that_follows_the_plan_is_told_the_plan(serve_policy, tmp_path):
    plan = Expert("insertion").plan(3)
    server = serve_policy(PlanPolicy(plan))
    collect_corrections(
        CorrectionsConfig(server.address, tmp_path, episodes=1, seed=3, execute_steps=8)
    )
    told = corrections(tmp_path / "3.npz")
    assert (told["task"], told["seed"]) == (1, 3)
    assert told["frames"].shape == (20, 256, 256, 3)  # 400 control steps, every 20 of them
    assert told["poses"].shape == (20, 2, 7)
    for number in range(10):  # within a step or two of where the plan is
        expected = plan.at(number * 0.4 + CHUNK_S)
        assert np.abs(told["chunks"][number] - expected).max() < 0.08, number


def test_a_policy_that_stands_still_is_told_to_begin_and_is_not_asked_again(serve_policy, tmp_path):
    asked = []
    server = serve_policy(HoldPolicy(), before=lambda request, _: asked.append(request))
    config = CorrectionsConfig(
        server.address, tmp_path, episodes=2, seed=6, seed_step=2, execute_steps=16
    )
    collect_corrections(config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["6.npz", "8.npz"]
    assert [request.sequence for request in asked] == list(range(0, 160, 16)) * 2
    for seed in (6, 8):
        told, plan = corrections(tmp_path / f"{seed}.npz"), Expert("transfer_cube").plan(seed)
        np.testing.assert_array_equal(told["chunks"][0], plan.at(CHUNK_S))
        with AlohaSimulator("transfer_cube") as simulator:
            start = simulator.reset(seed).astype(np.float32)
            np.testing.assert_array_equal(told["states"][0], start)
            poses = simulator.object_poses.astype(np.float32)
            np.testing.assert_array_equal(told["poses"][0], poses)
    collect_corrections(config)
    assert len(asked) == 20
