"""A robot of one's own: other groups, another tag, its own modality config, two datasets."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from handover_common.errors import UsageError
from handover_conversion import ConvertConfig, convert
from handover_model.policy import load_policy
from handover_training.checkpoints.run_folder import RunStart
from handover_training.errors import TrainingError
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune, make_data

from ..conftest import RECORDINGS

MAP = {
    "name": "one-arm",
    "groups": {"arm": [0, 1, 2, 3, 4, 5], "gripper": [6]},
    "relative": ["arm"],
    "nearest": ["left_gripper"],
}
MODALITY = """
CONFIG = {
    "video": ModalityConfig(delta_indices=[0], modality_keys=["ego_view"]),
    "state": ModalityConfig(delta_indices=[0], modality_keys=["gripper", "arm"]),
    "action": ModalityConfig(
        delta_indices=list(range(8)),
        modality_keys=["gripper", "arm"],
        action_configs=[
            ActionConfig(rep=ActionRepresentation.ABSOLUTE, type=ActionType.NON_EEF),
            ActionConfig(rep=ActionRepresentation.RELATIVE, type=ActionType.NON_EEF),
        ],
    ),
    "language": ModalityConfig(delta_indices=[0], modality_keys=["task"]),
}
register_modality_config(CONFIG, embodiment_tag=EmbodimentTag.NEW_EMBODIMENT)
"""


@pytest.fixture(scope="module")
def one_arm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "map.json").write_text(json.dumps(MAP))
    (folder / "modality.py").write_text(MODALITY)
    embodiment = str(folder / "map.json")
    output = folder / "dataset"
    convert(ConvertConfig(str(RECORDINGS), output, image_size=64, embodiment=embodiment))
    return folder


@pytest.fixture
def own(settings, one_arm):
    return replace(
        settings,
        dataset_path=(one_arm / "dataset",),
        embodiment_tag=("NEW_EMBODIMENT",),
        modality_config_path=(str(one_arm / "modality.py"),),
        max_steps=2,
    )


def test_another_robot_is_trained_and_served(own):
    finetune(own)
    spec = load_policy(own.output_dir, device="cpu").spec
    assert spec.embodiment_tag == "new_embodiment"
    assert [(group.name, group.dim, group.relative) for group in spec.action] == [
        ("gripper", 1, False),
        ("arm", 6, True),
    ]
    assert spec.horizon == 8


def test_statistics_of_another_horizon_are_computed_from_the_rows(own):
    plan = make_plan(own)
    statistics = plan.base.processor_config.statistics["new_embodiment"]
    assert statistics.relative_action["arm"].min.shape == (8, 6)
    dataset = plan.sources[0].dataset
    first = []
    for entry in dataset.episodes:
        episode = dataset.read_episode(entry.index)
        arm = dataset.action_groups["arm"]
        rows = len(episode) - 7
        first.append(episode.action[3 : 3 + rows, arm] - episode.state[:rows, arm])
    by_hand = np.concatenate(first)
    entry = statistics.relative_action["arm"]
    np.testing.assert_allclose(entry.max[3], by_hand.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(entry.mean[3], by_hand.mean(axis=0), atol=1e-6)


def test_only_gr1_has_a_default_layout(own):
    with pytest.raises(UsageError, match="--modality-config-path"):
        make_plan(replace(own, modality_config_path=()))
    with pytest.raises(TrainingError, match=r"no state group 'left_arm'.*it has arm, gripper"):
        make_plan(replace(own, embodiment_tag=("gr1",), modality_config_path=()))


def test_two_datasets_are_mixed_and_both_are_named(settings, dataset, tmp_path):
    second = tmp_path / "second"
    shutil.copytree(dataset, second)
    plan = make_plan(replace(settings, dataset_path=(dataset, second), val_episodes=0))
    data = make_data(plan, RunStart(None))
    assert len(data.windows) == 4 * 160
    assert data.dataset_names == ("transfer_cube", "second")


def test_the_fifteen_constant_slots_are_left_out_of_the_loss_unless_asked_for(settings):
    plan = make_plan(settings)
    whole = make_plan(replace(settings, trained_slots="all"))
    counted = [next(iter(batch_of(one)["action_mask"])).numpy() for one in (plan, whole)]
    assert counted[0][0].sum() == 14
    assert counted[1][0].sum() == 29
    assert counted[1][:, 29:].sum() == 0


def batch_of(plan):
    data = make_data(plan, RunStart(None))
    slots = next(iter(data.batches))
    return data.collator([data.windows[slot] for slot in slots])
