"""The base and the checkpoint that ship: what they hold, and what their cards say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.checkpoints.metadata import load_metadata
from handover_model.network.json_settings import read_json
from handover_training.aloha_mini.base import write_base
from handover_training.aloha_mini.configs import BaseConfig, ReleaseConfig
from handover_training.aloha_mini.network import SHIPPED, draw_network
from handover_training.aloha_mini.release import release
from handover_training.errors import TrainingError
from handover_training.finetuning.run import finetune
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A base of a backbone that has seen nothing."""
    folder = tmp_path_factory.mktemp("base")
    backbone = draw_network(SHIPPED, 3).backbone.state_dict()
    save_file({f"backbone.{name}": value for name, value in backbone.items()}, folder / "seen")
    (folder / "snapshots").mkdir()
    for seed in (24, 25):
        (folder / f"snapshots/{seed}.npz").touch()
    return write_base(BaseConfig(folder / "seen", (folder / "snapshots",), folder / "a-base"))


def test_a_base_has_the_backbone_and_a_head_drawn_to_be_trained_from_nothing(made):
    weights = load_file(made / "model.safetensors")
    seen = load_file(made.parent / "seen")
    assert all(torch.equal(weights[name], value) for name, value in seen.items())
    # input layers keep the size of what they are given: a spread of 1 / sqrt(inputs)
    spread = weights["action_head.state_encoder.layer1.W"].std()
    torch.testing.assert_close(spread, torch.tensor(32**-0.5), rtol=0.05, atol=0)


def test_a_base_says_that_it_saw_no_demonstration(made):
    assert "It saw no demonstration" in (made / "README.md").read_text(encoding="utf-8")
    record = read_json(made / "training_record.json")
    assert record == {"trained_on": [], "snapshots_of_seeds": [24, 25]}
    assert load_metadata(made).training == ()


def test_a_finetuned_base_is_released_with_its_record_and_its_rollouts(
    made, run_settings, tmp_path
):
    run = tmp_path / "run"
    finetune(replace(run_settings, base_model_path=str(made), output_dir=run, max_steps=1))
    trained = load_checkpoint(run)
    played = trained.hash(trained.processor())
    settings = {"task": "transfer_cube", "execute_steps": 4, "checkpoint_hash": played}
    metrics = {
        "success_rate": 0.9,
        "wilson_95": [0.8, 0.95],
        "episodes": 40,
        "settings": settings,
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    output = tmp_path / "shipped"
    release(ReleaseConfig(run, output, (tmp_path / "metrics.json",)))
    for name in ("model.safetensors", "training_record.json", "statistics.json"):
        assert (output / name).read_bytes() == (run / name).read_bytes()
    card = (output / "README.md").read_text(encoding="utf-8")
    assert "| transfer_cube | 40 | 4 | 90.0% | 80.0% … 95.0% |" in card
    assert "Data: 1 recorded demonstrations" in card
    assert load_checkpoint(output).processor().horizon == 16
    settings["checkpoint_hash"] = "0" * 64  # that of a server which went on serving
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(TrainingError, match=f"checkpoint 000000000000, expected {played[:12]}"):
        release(ReleaseConfig(run, tmp_path / "other", (tmp_path / "metrics.json",)))
    assert not (tmp_path / "other").exists()


def test_both_checkpoints_that_ship_are_small_together():
    files = [path for name in ("aloha-mini", "aloha-mini-base") for path in _files(name)]
    assert sum(path.stat().st_size for path in files) < 16e6


def _files(name: str) -> list[Path]:
    found = [path for path in (ROOT / "checkpoints" / name).iterdir() if path.is_file()]
    assert found
    return found
