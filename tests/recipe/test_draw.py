"""Snapshots of an episode: what a file holds, and that it is drawn once."""

from pathlib import Path

import numpy as np
import pytest
from handover_training.aloha_mini.configs import SnapshotsConfig
from handover_training.aloha_mini.data.draw import draw_snapshots, pushes
from handover_training.aloha_mini.data.snapshots import CHUNK_STEPS

pytestmark = pytest.mark.sim


def test_a_file_holds_images_states_chunks_and_poses(tmp_path: Path) -> None:
    config = SnapshotsConfig(tmp_path, episodes=1, seed=2001, on_the_way=3, loose=2)
    draw_snapshots(config)
    (path,) = tmp_path.glob("*.npz")
    with np.load(path, allow_pickle=False) as file:
        assert file["frames"].shape == (5, 256, 256, 3)
        assert file["poses"].shape == (5, 2, 7)  # an odd seed: peg and socket
        assert file["chunks"].shape == (5, CHUNK_STEPS, 14)
        assert np.isnan(file["chunks"][3:]).all()  # loose ones have none
        first = file["chunks"][0, 0, :6]
        np.testing.assert_allclose(first, file["states"][0, :6], atol=0.2)  # rad, near the arm
    drawn = path.stat().st_mtime_ns
    draw_snapshots(config)
    assert path.stat().st_mtime_ns == drawn


def test_pushes_are_smooth() -> None:
    drawn = [pushes(np.random.default_rng(seed), 400) for seed in range(30)]
    assert any(not push.any() for push in drawn)
    assert any(push.any() for push in drawn)
    assert max(np.abs(np.diff(push, axis=0)).max() for push in drawn) < 0.02  # rad in 20 ms
