"""Checkpoints with random weights, from a dataset's statistics."""

from pathlib import Path

import pytest
from handover_model.checkpoints.weights import weight_files, weight_shapes
from handover_model.errors import CheckpointError
from handover_training.aloha_mini.checkpoint import write_random


@pytest.fixture(scope="module")
def mini(dataset, tmp_path_factory) -> Path:
    return write_random(dataset, tmp_path_factory.mktemp("checkpoints") / "mini", seed=3)


def test_it_is_small_and_says_what_it_is(mini):
    assert sum(path.stat().st_size for path in mini.iterdir()) < 4_000_000
    card = (mini / "README.md").read_text()
    assert "Random weights, for plumbing only, until trained" in card
    assert "| left_arm | 7 | relative to the state |" in card
    assert "apache-2.0" in card


def test_it_has_the_layout_of_the_published_checkpoint(mini):
    names = {path.name for path in mini.iterdir()}
    assert names == {
        *("README.md", "config.json", "eagle_config.json", "embodiment_id.json", "handover.json"),
        *("model.safetensors", "processor_config.json", "statistics.json", "tokenizer.json"),
    }
    keys = weight_shapes(mini)
    assert "backbone.model.language_model.lm_head.weight" in keys
    assert "action_head.model.transformer_blocks.0.attn1.to_out.0.weight" in keys


def test_the_same_seed_makes_the_same_checkpoint(mini, dataset, tmp_path):
    again = write_random(dataset, tmp_path / mini.name, seed=3)
    for path in mini.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    other = write_random(dataset, tmp_path / "other", seed=4)
    assert weight_files(mini)[0].read_bytes() != weight_files(other)[0].read_bytes()


def test_a_folder_without_statistics_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"stats\.json is missing"):
        write_random(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
