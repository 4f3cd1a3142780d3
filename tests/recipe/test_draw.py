"""Snapshots of an episode: what a file holds, and that it is drawn once."""

from pathlib import Path

import numpy as np
import pytest
from handover_envs.experts import pushes
from handover_training.aloha_mini.configs import SnapshotsConfig
from handover_training.aloha_mini.data.draw import (
    PosableSimulator,
    draw_snapshots,
    mirrored,
)

pytestmark = pytest.mark.sim


def test_a_file_holds_images_and_poses_and_no_action(tmp_path: Path) -> None:
    config = SnapshotsConfig(tmp_path, episodes=1, seed=2001, on_the_way=3, loose=2)
    draw_snapshots(config)
    (path,) = tmp_path.glob("*.npz")
    with np.load(path, allow_pickle=False) as file:
        assert file["frames"].shape == (5, 256, 256, 3)
        assert file["poses"].shape == (5, 2, 7)  # an odd seed: peg and socket
        assert set(file.files) == {"task", "seed", "frames", "poses"}
    drawn = path.stat().st_mtime_ns
    draw_snapshots(config)
    assert path.stat().st_mtime_ns == drawn


def test_pushes_are_smooth() -> None:
    drawn = [pushes(np.random.default_rng(seed), 400) for seed in range(30)]
    assert any(not push.any() for push in drawn)
    assert any(push.any() for push in drawn)
    assert max(np.abs(np.diff(push, axis=0)).max() for push in drawn) < 0.02  # rad in 20 ms


def test_a_mirror_image_exchanges_the_hands() -> None:
    """The physics' own kinematics: the grippers' places are each other's mirror image."""
    simulator = PosableSimulator("transfer_cube", "plain")
    simulator.reset(0)
    arms = simulator.arms
    arms[:6] += [0.3, -0.2, 0.1, 0.4, -0.3, 0.5]
    poses = simulator.object_poses

    def hands() -> np.ndarray:
        places = simulator._world.physics.named.data.xpos
        return np.array([places[f"vx300s_{side}/gripper_link"] for side in ("left", "right")])

    simulator.put(arms, poses)
    before = hands()
    simulator.put(mirrored(arms), poses)
    np.testing.assert_allclose(hands(), before[::-1] * [-1, 1, 1], atol=1e-4)  # m
    np.testing.assert_array_equal(mirrored(mirrored(arms)), arms)
