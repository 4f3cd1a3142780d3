"""Frozen features: training with them is training without them, and what they are made for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from handover_common import UsageError
from handover_model.checkpoints import load_checkpoint
from handover_training.checkpoints.run_folder import RunStart
from handover_training.data.sampler import BatchSlot
from handover_training.errors import TrainingError
from handover_training.finetuning.config import check
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune, make_trainer


def first_batch(settings):
    trainer = make_trainer(make_plan(settings), RunStart(None))
    trainer.module.train()
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.module, dict(batch))
    loss.backward()
    gradients = {
        name: weight.grad
        for name, weight in trainer.module.named_parameters()
        if weight.grad is not None
    }
    return batch, loss.item(), gradients


@pytest.mark.parametrize("top_layers", [0, 1, 2])
def test_the_same_views_give_the_same_loss_and_gradients(settings, top_layers):
    """Two random crops of each frame, with 0, 1 or 2 of the two language layers trained."""
    settings = replace(settings, image_views=2, tune_top_llm_layers=top_layers)
    batch, loss, gradients = first_batch(settings)
    assert "hidden" in batch
    assert not batch["images"]
    computed, own_loss, own_gradients = first_batch(replace(settings, cache_features=False))
    assert "hidden" not in computed
    assert loss == pytest.approx(own_loss, rel=1e-5)
    assert gradients.keys() == own_gradients.keys()
    for name, gradient in own_gradients.items():
        scale = float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(gradients[name], gradient, atol=1e-4 * scale, rtol=1e-3)


def test_views_of_a_frame_differ_and_come_back(settings):
    settings = replace(settings, image_views=3)
    data = make_trainer(make_plan(settings), RunStart(None))._data
    seen = [data.windows[BatchSlot(step, 0, 7)].hidden for step in range(12)]
    assert len({one.numpy().tobytes() for one in seen}) == 3


def test_features_are_computed_once(settings, monkeypatch, tmp_path):
    settings = replace(settings, max_steps=1, val_episodes=0, image_views=1)
    finetune(settings)

    def forbidden(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(
        "handover_training.network.frozen_features.FrozenFeatures.compute", forbidden
    )
    finetune(replace(settings, output_dir=tmp_path / "again"))
    trained = str(settings.output_dir)  # its frozen part is the base's
    finetune(replace(settings, output_dir=tmp_path / "further", base_model_path=trained))
    with pytest.raises(AssertionError, match="computed again"):  # the crops are other ones
        finetune(replace(settings, output_dir=tmp_path / "other", seed=7))


@pytest.mark.parametrize("flags", [{"tune_visual": True}, {"tune_llm": True}, {"image_views": 0}])
def test_what_changes_in_training_is_not_cached(settings, flags):
    batch, _, _ = first_batch(replace(settings, **flags))
    assert "hidden" not in batch
    assert len(batch["images"]) == 4


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(settings, monkeypatch):
    class Full:
        free = 10

    before = set(settings.cache_dir.iterdir())
    monkeypatch.setattr("shutil.disk_usage", lambda _: Full)
    with pytest.raises(TrainingError, match=r"need .* GB, .*--image-views.*--no-cache-features"):
        finetune(replace(settings, seed=11, image_views=1))
    assert set(settings.cache_dir.iterdir()) == before


def test_slots_that_never_vary_are_disconnected(settings):
    """15 of ALOHA's 29 slots are constant, and 3 of the network's 32 are padding."""
    finetune(replace(settings, max_steps=2, val_episodes=0))
    head = load_checkpoint(settings.output_dir).network.action_head
    rows = head.action_encoder.W1.W[0].detach().abs().sum(dim=1)
    assert int((rows > 0).sum()) == 14
    noise = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(0))
    other = noise.clone()
    other[..., rows == 0] = torch.randn(18, generator=torch.Generator().manual_seed(1))
    slot = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        one, two = (head.action_encoder(values, slot, slot) for values in (noise, other))
    np.testing.assert_array_equal(one.numpy(), two.numpy())


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        ({"mix": ("transfer_cube=0.7", "other=0.3")}, "once for each of the folders transfer_cube"),
        ({"mix": ("transfer_cube",)}, "NAME=SHARE"),
        ({"mix": ("transfer_cube=-1",)}, "more than 0"),
        ({"ema_decay": 0.9, "fsdp": True}, "--ema-decay needs whole weights"),
        ({"ema_decay": 1.5}, "ema-decay"),
        ({"image_views": -1}, "image-views"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, flags, wrong):
    with pytest.raises(UsageError, match=wrong):
        check(replace(settings, **flags))


def test_shares_are_fractions_of_their_sum(settings, tmp_path):
    mixed = replace(settings, dataset_path=(tmp_path / "a", tmp_path / "b"), mix=("b=3", "a=1"))
    assert mixed.shares() == {"a": 0.25, "b": 0.75}
