"""Worlds that vary from episode to episode, for training: what is drawn, and what stays."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pytestmark = pytest.mark.sim

from handover_common.errors import UsageError  # noqa: E402
from handover_envs.perturbations import ChangedSimulator, VariedSimulator, parse_vary  # noqa: E402
from handover_envs.simulator import AlohaSimulator  # noqa: E402

VARY = ("light:3", "camera:1", "colours", "distractors:3")


def changes(simulator: VariedSimulator, seeds: range) -> list[dict[str, int]]:
    drawn = []
    for seed in seeds:
        simulator.reset(seed)
        drawn.append(simulator.changes)
    return drawn


def test_each_axis_takes_part_in_half_of_the_episodes_at_up_to_its_largest_strength():
    with VariedSimulator("transfer_cube", VARY, "plain") as simulator:
        drawn = changes(simulator, range(300))
        assert changes(simulator, range(300)) == drawn
    for axis, largest in parse_vary(VARY).items():
        strengths = [each[axis] for each in drawn if axis in each]
        assert 110 < len(strengths) < 190
        counts = np.bincount(strengths, minlength=4)
        assert counts[0] == 0
        assert (counts[1 : largest + 1] > 0.6 * len(strengths) / largest).all()
        assert not counts[largest + 1 :].any()
    assert 0 < sum(not each for each in drawn) < 40  # the plain world is among them


def test_physics_stay_and_one_change_alone_is_that_change_of_rollouts():
    with VariedSimulator("insertion", VARY, "plain") as simulator:
        drawn = changes(simulator, range(60))
        images, poses = {}, {}
        for seed, each in enumerate(drawn):
            if len(each) <= 1:
                simulator.reset(seed)
                images[seed], poses[seed] = simulator.render(96), simulator.qpos
    seen = {next(iter(each), "") for each in drawn if len(each) <= 1}
    assert len(seen) >= 3
    for name in seen:
        seed, each = next(
            (seed, each)
            for seed, each in enumerate(drawn)
            if len(each) <= 1 and next(iter(each), "") == name
        )
        other = (
            ChangedSimulator("insertion", f"{name}:{each[name]}", "plain")
            if name
            else AlohaSimulator("insertion", "plain")
        )
        with other:
            other.reset(seed)
            np.testing.assert_array_equal(other.qpos, poses[seed])
            assert np.abs(other.render(96).astype(int) - images[seed]).mean() < 0.01


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["light:4"], "expected AXIS, or AXIS:LARGEST of 1, 2 or 3"),
        (["light", "light:2"], "each once"),
        (["glitter"], "unknown axis 'glitter'"),
        (["start_pose"], "changes more than what is seen"),
        (["instruction:1"], "changes more than what is seen"),
        (["latency"], "changes more than what is seen"),
    ],
)
def test_what_cannot_vary_is_refused(vary, words):
    with pytest.raises(UsageError, match=words):
        parse_vary(vary)
