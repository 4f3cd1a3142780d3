"""Several embodiments in one run: each with its slot, its layout and its statistics."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from handover_common.errors import UsageError
from handover_model.policy import load_policy
from handover_training.checkpoints.run_folder import RunStart
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune, make_data

from .test_new_embodiment import one_arm, own  # noqa: F401


@pytest.fixture
def both(settings, one_arm, dataset):  # noqa: F811
    return replace(
        settings,
        dataset_path=(dataset, one_arm / "dataset"),
        embodiment_tag=("dataset=NEW_EMBODIMENT", "transfer_cube=GR1"),
        modality_config_path=(f"new_embodiment={one_arm / 'modality.py'}",),
        max_steps=2,
    )


def test_each_embodiment_is_served_by_its_tag_with_its_own_layout(both):
    finetune(both)
    arm = load_policy(both.output_dir, device="cpu", tag="new_embodiment").spec
    aloha = load_policy(both.output_dir, device="cpu", tag="gr1").spec
    assert [(one.name, one.dim, one.relative) for one in arm.action] == [
        ("gripper", 1, False),
        ("arm", 6, True),
    ]
    assert (arm.horizon, aloha.horizon) == (8, 16)
    assert sum(one.dim for one in aloha.action) == 29
    record = json.loads((both.output_dir / "training_record.json").read_text())
    assert record["embodiment_tags"] == ["gr1", "new_embodiment"]
    assert set(record["modality_configs"]) == {"gr1", "new_embodiment"}


def test_the_samples_of_each_are_those_of_a_run_of_its_own(both, settings, own):  # noqa: F811
    """Statistics, targets, masks and states do not mix; only the slot number may differ."""
    mixed = make_data(make_plan(replace(both, val_episodes=0)), RunStart(None))
    aloha = make_data(make_plan(replace(settings, val_episodes=0)), RunStart(None))
    arm = make_data(make_plan(replace(own, val_episodes=0)), RunStart(None))
    slot = next(iter(mixed.batches))[0]
    first_of_arm = len(aloha.windows)
    assert len(mixed.windows) == first_of_arm + len(arm.windows)
    for alone, number, shift in ((aloha, 5, 0), (arm, 5, first_of_arm)):
        want = alone.windows[replace(slot, window=number)]
        found = mixed.windows[replace(slot, window=number + shift)]
        np.testing.assert_array_equal(found.sample.action, want.sample.action)
        np.testing.assert_array_equal(found.sample.action_mask, want.sample.action_mask)
        np.testing.assert_array_equal(found.sample.sample.state, want.sample.sample.state)
        assert torch.equal(found.draw.noise, want.draw.noise)
    embodiments = [
        mixed.windows[replace(slot, window=number)].sample.sample.embodiment
        for number in (0, first_of_arm)
    ]
    assert len(set(embodiments)) == 2


def test_the_loss_is_averaged_over_the_numbers_that_count_of_either(both):
    data = make_data(make_plan(replace(both, val_episodes=0)), RunStart(None))
    slots = next(iter(data.batches))
    items = [data.windows[slot] for slot in slots]
    assert {item.source[0] for item in items} == {0, 1}, "the batch has both"
    made = data.collator(items)
    assert float(made["mask_total"]) == float(made["action_mask"].sum())


def test_an_embodiment_for_every_dataset_and_a_file_for_every_embodiment(both):
    with pytest.raises(UsageError, match=r"one TAG, or NAME=TAG once for each of .*transfer_cube"):
        make_plan(replace(both, embodiment_tag=("transfer_cube=GR1",)))
    with pytest.raises(UsageError, match="expected the file for new_embodiment"):
        make_plan(replace(both, modality_config_path=()))
    path = both.modality_config_path[0].partition("=")[2]
    with pytest.raises(UsageError, match="expected TAG=FILE, once for each of gr1, new_embodiment"):
        make_plan(replace(both, modality_config_path=(path,)))
