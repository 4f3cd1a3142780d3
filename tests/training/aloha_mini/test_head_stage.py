"""The head stage on a few made-up snapshots: what it trains, and that it goes on where it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.network.json_settings import read_json
from handover_training.aloha_mini.checkpoint import open_start, write_mini
from handover_training.aloha_mini.configs import HeadConfig
from handover_training.aloha_mini.head_features import encode_samples
from handover_training.aloha_mini.head_stage import HeadStage, equal_tasks
from handover_training.aloha_mini.network import SHIPPED, draw_network
from handover_training.aloha_mini.stage import save_tensors
from handover_training.errors import TrainingError

ALOHA_SLOTS = [*range(6), 7, *range(13, 19), 20]


def config_for(folder: Path) -> HeadConfig:
    rng = np.random.default_rng(0)
    snapshots = folder / "snap"
    snapshots.mkdir()
    for seed in (12, 13, 14, 15):
        states = rng.uniform(-0.5, 0.5, (4, 14)).astype(np.float32)
        chunks = states[:, None] + rng.normal(0, 0.1, (4, 16, 14)).astype(np.float32)
        chunks[-1] = np.nan  # a loose one
        np.savez(
            snapshots / f"{seed}.npz",
            task=np.array(seed % 2),
            frames=rng.integers(0, 255, (4, 256, 256, 3), np.uint8),
            states=states,
            chunks=chunks,
            poses=np.zeros((4, 1 + seed % 2, 7), np.float32),
        )
    backbone = draw_network(SHIPPED, 3).state_dict()
    kept = {name: value for name, value in backbone.items() if name.startswith("backbone.")}
    save_tensors(folder / "backbone.safetensors", kept, {})
    return HeadConfig(
        (snapshots,), folder / "out", backbone=folder / "backbone.safetensors", batch_size=4
    )


def test_only_the_head_learns_and_constant_slots_stay_closed(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    stage = HeadStage(config)
    for _ in range(3):
        stage.step(1.0)
    write_mini(tmp_path / "checkpoint", stage.averaged(), stage.processor)
    network = load_checkpoint(tmp_path / "checkpoint").network
    start = draw_network(SHIPPED, 3)
    for name, weight in network.backbone.named_parameters():
        assert torch.equal(weight, start.backbone.get_parameter(name)), name
    opened = network.action_head.action_encoder.W1.W[0].abs().sum(dim=1).nonzero().flatten()
    assert opened.tolist() == ALOHA_SLOTS


def test_a_stage_goes_on_where_it_was_bit_for_bit(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    stage = HeadStage(config)
    stage.step(1.0)
    stage.save()
    again = HeadStage(config)
    assert again.steps == 1
    for each in (stage, again):
        each.step(0.5)
    expected = stage.averaged().state_dict()
    for name, weight in again.averaged().state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_features_are_made_again_for_another_backbone(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    before = encode_samples(config, HeadStage(config).averaged().backbone)
    weights = draw_network(SHIPPED, 4).state_dict()
    kept = {name: value for name, value in weights.items() if name.startswith("backbone.")}
    save_tensors(tmp_path / "backbone.safetensors", kept, {})
    after = encode_samples(config, open_start(config).network.backbone)
    np.testing.assert_array_equal(before.states, after.states)
    assert not np.allclose(before.features, after.features)


def test_another_networks_weights_are_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    save_tensors(tmp_path / "backbone.safetensors", {"backbone.other": torch.zeros(1)}, {})
    with pytest.raises(TrainingError, match="--backbone"):
        HeadStage(config)


def test_a_run_begins_with_a_checkpoints_head_and_normalisation(tmp_path: Path) -> None:
    first = config_for(tmp_path)
    stage = HeadStage(first)
    stage.step(1.0)
    write_mini(tmp_path / "checkpoint", stage.averaged(), stage.processor)
    other = tmp_path / "other"  # data of another range
    other.mkdir()
    for file in (tmp_path / "snap").iterdir():
        with np.load(file) as old:
            np.savez(other / file.name, **{**old, "states": 2 * old["states"]})
    config = HeadConfig((other,), tmp_path / "more", start=tmp_path / "checkpoint", batch_size=4)
    begun = HeadStage(config)
    expected = load_checkpoint(tmp_path / "checkpoint")
    for name, weight in begun.averaged().state_dict().items():
        assert torch.equal(weight, expected.network.state_dict()[name]), name
    before, after = (
        read_json(each.output / "statistics.json")["state"]["left_arm"] for each in (first, config)
    )
    assert after["mean"] == before["mean"]
    assert after["max"] == [2 * high for high in before["max"]]
    begun.step(1.0)
    assert begun.steps == 1


def test_a_backbone_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="aloha_mini vision"):
        open_start(HeadConfig((tmp_path,), tmp_path, backbone=tmp_path / "none"))


@pytest.mark.parametrize("given", [{}, {"backbone": Path("b"), "start": Path("c")}])
def test_a_run_begins_with_one_thing(given: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--start"):
        open_start(HeadConfig((tmp_path,), tmp_path, **given))


def test_tasks_count_alike() -> None:
    shares = equal_tasks(np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(shares, [1 / 6, 1 / 6, 1 / 6, 1 / 2])
