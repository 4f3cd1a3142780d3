"""What is shipped says what it was trained on, and what the checkpoint before it was trained on."""

import re
from pathlib import Path

import numpy as np
import pytest
from handover_model.network.json_settings import read_json
from handover_training.aloha_mini.checkpoint import write_mini
from handover_training.aloha_mini.configs import ReleaseConfig
from handover_training.aloha_mini.network import SHIPPED, draw_network
from handover_training.aloha_mini.processing import chunk_statistics, mini_processor
from handover_training.aloha_mini.release import release


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    statistics = chunk_statistics(rng.random((4, 14)), rng.random((4, 16, 14)))
    write_mini(tmp_path / "trained", draw_network(SHIPPED, 0), mini_processor(statistics))
    return tmp_path / "trained"


def snapshots(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        (folder / f"{seed}.npz").touch()
    return folder


def test_the_record_divides_the_seeds_by_task_and_use(trained: Path, tmp_path: Path) -> None:
    drawn = snapshots(tmp_path / "snap", range(24, 30))
    release(ReleaseConfig(trained, (drawn,), tmp_path / "shipped"))
    assert read_json(tmp_path / "shipped/training_record.json")["snapshots"] == {
        "transfer_cube": {"train_seeds": [26, 28], "held_out_seeds": [24]},
        "insertion": {"train_seeds": [27, 29], "held_out_seeds": [25]},
    }


def test_the_record_of_the_checkpoint_before_is_kept(trained: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    first = snapshots(tmp_path / "first", range(24, 30))
    release(ReleaseConfig(trained, (first,), shipped))
    before = read_json(shipped / "training_record.json")
    more = snapshots(tmp_path / "more", range(50, 54))
    release(ReleaseConfig(trained, (more,), shipped, start=shipped))  # in its own place
    assert read_json(shipped / "training_record.json")["began_with"] == before
    card = (shipped / "README.md").read_text(encoding="utf-8")
    assert re.search(r"snapshots of 10 more", card)
