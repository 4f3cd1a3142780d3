"""What each axis changes, and that nothing else changes: neither physics nor the next episode."""

import colorsys

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pytestmark = pytest.mark.sim

from handover_common.errors import UsageError  # noqa: E402
from handover_envs.perturbations import AXES, ChangedSimulator, find_axis, parse_change  # noqa: E402
from handover_envs.simulator import AlohaSimulator  # noqa: E402
from handover_envs.tasks import find_task  # noqa: E402

HOME = np.array([0, -0.96, 1.16, 0, -0.3, 0, 0] * 2)


def play(simulator: AlohaSimulator, seed: int, steps: int = 20) -> np.ndarray:
    simulator.reset(seed)
    places = []
    for step in range(steps):
        simulator.step(HOME + 0.2 * np.sin(step / 5))
        places.append(simulator.qpos)
    return np.array(places)


@pytest.mark.parametrize("axis", ["light", "camera", "colours", "distractors"])
def test_what_is_only_seen_leaves_the_physics_bit_for_bit(axis):
    with AlohaSimulator("insertion") as plain, ChangedSimulator("insertion", f"{axis}:3") as other:
        np.testing.assert_array_equal(play(other, 4), play(plain, 4))


@pytest.mark.parametrize("axis", ["light", "camera", "colours", "distractors"])
def test_a_world_looks_as_its_seed_says_whatever_was_played_before(axis):
    with (
        ChangedSimulator("transfer_cube", f"{axis}:2", "plain") as first,
        ChangedSimulator("transfer_cube", f"{axis}:2", "plain") as again,
        AlohaSimulator("transfer_cube", "plain") as plain,
    ):
        images = []
        for simulator, seeds in ((first, [5]), (again, [6, 5]), (plain, [5])):
            for seed in seeds:
                simulator.reset(seed)
            images.append(simulator.render(96).astype(int))
    assert np.abs(images[0] - images[1]).mean() < 0.01
    assert np.abs(images[0] - images[2]).mean() > 0.1


def test_a_past_moment_is_drawn_in_the_same_world():
    with ChangedSimulator("transfer_cube", "camera:3", "plain") as simulator:
        simulator.reset(5)
        now, past = simulator.render(96), simulator.render(96, qpos=simulator.qpos)
    assert np.abs(now.astype(int) - past).mean() < 0.01


def colours_of_the_cube(simulator: AlohaSimulator, moved_m: float) -> int:
    """Count the hues, of twelve, that a fifth of the cube has after it was moved along x."""
    qpos = simulator.qpos
    qpos[16] += moved_m  # after two arms' 8 each
    away = qpos.copy()
    away[16] = 3.0
    there, gone = (simulator.render(480, qpos=each).astype(int) for each in (qpos, away))
    seen = there[(np.abs(there - gone).max(axis=2) > 20) & (np.ptp(there, axis=2) > 80)]
    hues = [int(12 * colorsys.rgb_to_hsv(*(pixel / 255))[0]) for pixel in seen]
    return int((np.bincount(hues) > len(hues) / 5).sum())


def test_bands_lie_around_an_object_and_go_with_it():
    with (
        ChangedSimulator("transfer_cube", "colours:3", "plain") as banded,
        AlohaSimulator("transfer_cube", "plain") as plain,
    ):
        for simulator, colours in ((banded, 2), (plain, 1)):
            simulator.reset(8)
            assert [colours_of_the_cube(simulator, far) for far in (0.0, -0.1)] == [colours] * 2


@pytest.mark.parametrize("task", ["transfer_cube", "insertion"])
@pytest.mark.parametrize(("strength", "least", "most"), [(1, 0, 0.01), (3, 0.02, 0.04)])
def test_objects_start_beyond_the_range_of_training_by_so_much(task, strength, least, most):
    sampled = np.stack([find_task(task).start_poses(seed) for seed in range(200)])[..., :2]
    low, high = sampled.min(axis=0), sampled.max(axis=0)
    with ChangedSimulator(task, f"start_pose:{strength}") as simulator:
        for seed in range(20):
            simulator.reset(seed)
            place = simulator.start_poses[:, :2]
            beyond = np.maximum(low - place, place - high).max(axis=1)
            assert (beyond >= least - 1e-12).all()
            assert (beyond <= most + 1e-12).all()


def test_instructions_say_the_same_in_other_words():
    text = "Pick up the cube with the right arm and transfer it to the left arm."
    words = find_axis("instruction")
    assert words.reword(text, 1) == text.lower().rstrip(".")
    assert words.reword(text, 2) == (
        "Grab the block with the right hand and hand it over to the left hand."
    )
    assert "grab the block with the right hand" in words.reword(text, 3)
    assert find_axis("light").reword(text, 3) == text


def test_latency_grows_with_strength_and_nothing_else_delays():
    delays = [find_axis("latency").delay(strength) for strength in (1, 2, 3)]
    assert [(each.latency_ms, each.jitter_ms) for each in delays] == [
        (100, 50),
        (200, 100),
        (300, 150),
    ]
    assert find_axis("camera").delay(3).latency_ms == 0


def test_every_axis_names_three_strengths():
    assert len(AXES) == 7
    for name, axis in AXES.items():
        assert axis.name == name
        assert len(set(axis.strengths)) == 3
        assert all(axis.strengths)


@pytest.mark.parametrize(
    ("change", "words"),
    [("light", "strength of 1, 2 or 3"), ("light:4", "strength"), ("fog:1", "unknown axis 'fog'")],
)
def test_what_is_no_change_is_refused(change, words):
    with pytest.raises(UsageError, match=words):
        parse_change(change)
    assert parse_change("") is None
