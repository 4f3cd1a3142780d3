"""Training-time action conditioning: given steps, their timestep, and what the loss leaves out."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from handover_common import UsageError
from handover_model.network.flow_matching import draw_delay
from handover_training.checkpoints.run_folder import RunStart
from handover_training.data.sampler import BatchSlot
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune, make_data
from handover_training.network.base_model import read_base
from handover_training.network.training_module import TrainingModule

MOST = 5


@pytest.fixture
def plan(settings):
    return make_plan(dataclasses.replace(settings, max_delay_steps=MOST))


def test_half_of_the_delays_are_none_and_the_others_even_up_to_the_largest():
    draws = [draw_delay(3, np.random.default_rng(place)) for place in range(4000)]
    counts = np.bincount(draws)
    assert len(counts) == 4
    assert abs(counts[0] - 2000) < 150
    assert (np.abs(counts[1:] - 2000 / 3) < 120).all()


def batch_of(plan):
    data = make_data(plan, RunStart(None))
    slots = data.collator._plan.step(0)
    return data, slots, data.collator([data.windows[slot] for slot in slots])


def test_the_global_batch_s_mask_total_leaves_the_given_steps_out(plan):
    data, slots, batch = batch_of(plan)
    how = data.windows._how
    delays = batch["delay"].tolist()
    assert delays == [how.delay(BatchSlot(0, place, 0)) for place in range(len(slots))]
    assert max(delays) > 0
    mask = batch["action_mask"].numpy().copy()
    for row, delay in zip(mask, delays, strict=True):
        row[:delay] = 0
    assert float(batch["mask_total"]) == mask.sum()


def test_without_the_flag_batches_are_as_they_were(settings):
    _, _, plain = batch_of(make_plan(settings))
    _, _, learns = batch_of(make_plan(dataclasses.replace(settings, max_delay_steps=MOST)))
    assert "delay" not in plain
    for name in ("noise", "time", "action", "action_mask", "dropout_keys", "drops_state"):
        torch.testing.assert_close(plain[name], learns[name], rtol=0, atol=0)


def test_given_steps_are_read_and_never_in_the_loss(plan):
    _, _, batch = batch_of(plan)
    batch.pop("sources")
    batch["delay"] = torch.full_like(batch["delay"], 3)
    module = TrainingModule(plan.base.load(mixed_precision=False), 1).eval()
    for weight in module.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    want = module(**batch)["loss"]
    wild = dict(batch, noise=batch["noise"].clone())
    wild["noise"][:, :3] = 1e3  # their noise is not read
    torch.testing.assert_close(module(**wild)["loss"], want, rtol=0, atol=0)
    other = dict(batch, action=batch["action"].clone())
    other["action"][:, :3] += 0.5  # they themselves are
    assert float(module(**other)["loss"].detach()) != float(want.detach())


def test_a_run_s_checkpoint_says_the_largest_delay_it_has_learnt(settings):
    finetune(dataclasses.replace(settings, max_steps=2, val_episodes=0, max_delay_steps=MOST))
    metadata = json.loads((settings.output_dir / "handover.json").read_text())
    assert metadata["max_delay_steps"] == MOST


def test_a_delay_of_the_whole_chunk_is_refused(settings, plan):
    with pytest.raises(UsageError, match="--max-delay-steps 16: expected fewer"):
        read_base(
            dataclasses.replace(settings, max_delay_steps=16),
            plan.base.processor_config.modalities,
            plan.base.processor_config.statistics,
        )
