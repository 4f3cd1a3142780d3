"""GR00T datasets as people have them: checked, trained on, served and replayed, unchanged.

The layouts are those that Isaac-GR00T's documentation describes for its samples; the rows and
frames are made here.
"""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.replay.replayer import ReplayPlan
from handover_client.replay.run import prepare_replay
from handover_common.errors import HandoverError
from handover_conversion.check.run import check_dataset
from handover_conversion.findings import EMPTY_INSTRUCTION
from handover_conversion.groot.dataset import GrootDataset
from handover_model.checkpoints.checkpoint import save_checkpoint
from handover_model.checkpoints.metadata import dataset_metadata
from handover_model.policy import load_policy
from handover_model.processing.aloha import aloha_processor, dataset_statistics
from handover_model.processing.image import ImageOptions
from handover_server.policies.replay import ReplayPolicy
from handover_server.serve.own_policy import serve_in_thread
from handover_training.aloha_mini import network as small
from handover_training.aloha_mini.tokenizer import save_tokenizer, train_tokenizer
from handover_training.finetuning.plan import make_plan
from handover_training.finetuning.run import finetune

from ...groot_datasets import MadeDataset, parts, two_arms
from ..conftest import EDGE

WIDTH = 64  # G1's whole body has 43 joints


@pytest.fixture(scope="module")
def wide_base(dataset, tmp_path_factory):
    """A random checkpoint with room for a whole body."""
    folder = tmp_path_factory.mktemp("wide")
    statistics = dataset_statistics(dataset)
    processor = dataclasses.replace(
        aloha_processor(statistics, max_state_dim=WIDTH, max_action_dim=WIDTH),
        image=ImageOptions(shortest_image_edge=EDGE),
    )
    tokenizer = train_tokenizer(merges=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "WIDTH", WIDTH)
        drawn = small.draw_network(small.RANDOM, 0, tokenizer, 16).eval()
    save_tokenizer(tokenizer, folder)
    save_checkpoint(
        folder / "base",
        drawn,
        dataclasses.replace(processor, embodiment_ids={"new_embodiment": 0}),
        metadata=dataset_metadata(dataset),
        tokenizer=folder,
        unused=small.zero_unused(drawn.eagle),
    )
    return folder / "base"


@dataclasses.dataclass
class Layout:
    """A dataset, and the modality config that it is trained with."""

    made: MadeDataset
    video: list[str]
    state: list[str]
    action: dict[str, str]  # {group: representation}
    language: str
    deltas: list[int] = dataclasses.field(default_factory=lambda: list(range(8)))

    def config(self, folder):
        configs = [{"rep": rep, "type": "NON_EEF"} for rep in self.action.values()]
        parts = {
            "video": ([0], self.video),
            "state": ([0], self.state),
            "action": (self.deltas, list(self.action)),
            "language": ([0], [self.language]),
        }
        content = {
            name: {"delta_indices": deltas, "modality_keys": keys}
            for name, (deltas, keys) in parts.items()
        }
        content["action"]["action_configs"] = configs
        path = folder / "modality.json"
        path.write_text(json.dumps(content))
        return path


def _video(*names):
    return {name: {"original_key": f"observation.images.{name}"} for name in names}


def _vectors(state, action, dtype="float32"):
    return {"observation.state": (state, dtype), "action": (action, dtype)}


GR1_PARTS = parts(
    left_arm=(0, 7),
    left_hand=(7, 13),
    left_leg=(13, 19),
    neck=(19, 22),
    right_arm=(22, 29),
    right_hand=(29, 35),
    right_leg=(35, 41),
    waist=(41, 44),
)
POSE = {name: (place, place + 1) for place, name in enumerate(("x", "y", "z", "roll", "pitch"))}
POSE["yaw"] = (5, 6)
LAYOUTS = {
    "GR1": Layout(
        MadeDataset(
            columns=_vectors(44, 44, "float64"),
            modality={
                "state": GR1_PARTS,
                "action": GR1_PARTS,
                "video": _video("ego_view"),
                "annotation": {"human.action.task_description": {}, "human.validity": {}},
            },
            cameras={"observation.images.ego_view": (48, 64)},
            tasks=("pick the pear", "valid"),
            indices={
                "task_index": lambda *_: 0,
                "annotation.human.action.task_description": lambda *_: 0,
                "annotation.human.validity": lambda *_: 1,
            },
            version="v2.0",
        ),
        ["ego_view"],
        ["left_arm", "right_arm", "left_hand", "right_hand", "waist"],
        {
            "left_arm": "RELATIVE",
            "right_arm": "RELATIVE",
            "left_hand": "ABSOLUTE",
            "right_hand": "ABSOLUTE",
            "waist": "ABSOLUTE",
        },
        "annotation.human.action.task_description",
    ),
    "LIBERO": Layout(
        MadeDataset(
            columns=_vectors(8, 7),
            modality={
                "state": parts(**POSE, gripper=(6, 8)),
                "action": parts(**POSE, gripper=(6, 7)),
                "video": _video("image", "wrist_image"),
                "annotation": {"human.action.task_description": {"original_key": "task_index"}},
            },
            cameras={
                "observation.images.image": (64, 64),
                "observation.images.wrist_image": (64, 64),
            },
        ),
        ["image", "wrist_image"],
        [*POSE, "gripper"],
        dict.fromkeys([*POSE, "gripper"], "ABSOLUTE"),
        "annotation.human.action.task_description",
    ),
    "DROID": Layout(
        MadeDataset(
            columns=_vectors(17, 17, "float64"),
            modality={
                "state": parts(eef_9d=(0, 9), gripper_position=(9, 10), joint_position=(10, 17)),
                "action": parts(eef_9d=(0, 9), gripper_position=(9, 10), joint_position=(10, 17)),
                "video": _video("exterior_image_1_left", "wrist_image_left"),
                "annotation": {"language.language_instruction": {"original_key": "task_index"}},
            },
            cameras={
                "observation.images.exterior_image_1_left": (36, 64),
                "observation.images.wrist_image_left": (36, 64),
            },
            fps=15,
        ),
        ["exterior_image_1_left", "wrist_image_left"],
        ["eef_9d", "gripper_position", "joint_position"],
        {"joint_position": "RELATIVE", "gripper_position": "ABSOLUTE"},
        "annotation.language.language_instruction",
    ),
    "Bridge": Layout(
        MadeDataset(
            columns=_vectors(8, 7),
            modality={
                "state": parts(**POSE, pad=(6, 7), gripper=(7, 8)),
                "action": parts(**POSE, gripper=(6, 7)),
                "video": _video("image_0"),
                "annotation": {
                    "human.action.task_description": {"original_key": "task_index"},
                    "human.validity": {},
                },
            },
            cameras={"observation.images.image_0": (64, 64)},
            fps=5,
            counts=False,
        ),
        ["image_0"],
        [*POSE, "gripper"],
        dict.fromkeys([*POSE, "gripper"], "ABSOLUTE"),
        "annotation.human.action.task_description",
    ),
    "G1 whole body": Layout(
        MadeDataset(
            columns={
                **_vectors(43, 43, "float64"),
                "observation.eef_state": (14, "float64"),
                "action.eef": (14, "float64"),
                "teleop.navigate_command": (3, "float64"),
                "teleop.base_height_command": (1, "float64"),
            },
            modality={
                "state": parts(
                    left_leg=(0, 6),
                    waist=(12, 15),
                    left_arm=(15, 22),
                    right_arm=(29, 36),
                    left_wrist_pos=(0, 3, "observation.eef_state"),
                ),
                "action": parts(
                    left_arm=(15, 22),
                    right_arm=(29, 36),
                    base_height_command=(0, 1, "teleop.base_height_command"),
                    navigate_command=(0, 3, "teleop.navigate_command"),
                ),
                "video": _video("ego_view"),
                "annotation": {"human.task_description": {"original_key": "task_index"}},
            },
            cameras={"observation.images.ego_view": (48, 64)},
        ),
        ["ego_view"],
        ["left_leg", "waist", "left_arm", "right_arm", "left_wrist_pos"],
        {
            "left_arm": "RELATIVE",
            "right_arm": "RELATIVE",
            "base_height_command": "ABSOLUTE",
            "navigate_command": "ABSOLUTE",
        },
        "annotation.human.task_description",
        list(range(12)),
    ),
}


def _settings(settings, base, layout, tmp_path):
    return replace(
        settings,
        dataset_path=(layout.made.make(tmp_path / "made"),),
        base_model_path=str(base),
        embodiment_tag=("NEW_EMBODIMENT",),
        modality_config_path=(str(layout.config(tmp_path)),),
        max_steps=1,
        global_batch_size=2,
        save_steps=1,
    )


def _replay(policy, dataset):
    """Replay a dataset's episodes over the wire, each chunk whole."""
    with serve_in_thread(policy) as server, PolicyClient.connect(server.address) as client:
        plan = ReplayPlan(200, client.info.spec.horizon, 0)
        return prepare_replay(dataset, client, plan).run()


QUICK = ("Bridge", "G1 whole body")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS],
)
def test_nvidias_layouts_are_checked_trained_on_served_and_replayed(
    settings, wide_base, tmp_path, name
):
    layout = LAYOUTS[name]
    run = _settings(settings, wide_base, layout, tmp_path)
    dataset = GrootDataset.open(run.dataset_path[0])
    assert [str(one) for one in check_dataset(dataset.path) if one.severity == "fault"] == []
    finetune(run)
    policy = load_policy(run.output_dir, device="cpu", engine="reference")
    assert [(group.name, group.relative) for group in policy.spec.action] == [
        (group, rep == "RELATIVE") for group, rep in layout.action.items()
    ]
    assert [camera.name for camera in policy.spec.cameras] == layout.video
    evaluation, figures = _replay(policy, dataset)
    assert [len(each.predicted) for each in evaluation.trajectories] == list(layout.made.lengths)
    assert np.isfinite(figures[evaluation.headline.key]["mse"])
    perfect, _ = _replay(ReplayPolicy(dataset), dataset)
    for each in perfect.trajectories:
        np.testing.assert_array_equal(each.predicted, each.demonstrated)


def three_cameras(**changes):
    layout = Layout(
        two_arms(),
        ["high", "left", "right"],
        ["arm", "gripper"],
        {"gripper": "ABSOLUTE", "arm": "RELATIVE"},
        "annotation.human.fine",
    )
    return replace(layout, **changes)


def test_three_cameras_of_different_sizes_go_from_the_dataset_to_the_replay(
    settings, base, tmp_path
):
    """With an instruction that is not task_index's, and chunks that begin a step later."""
    layout = three_cameras(language="annotation.human.coarse", deltas=[1, 2, 3, 4])
    run = _settings(settings, base, layout, tmp_path)
    finetune(run)
    policy = load_policy(run.output_dir, device="cpu", engine="reference")
    sizes = {camera.name: (camera.height, camera.width) for camera in policy.spec.cameras}
    assert sizes == {"high": (64, 96), "left": (96, 64), "right": (48, 48)}
    assert policy.spec.language_key == "annotation.human.coarse"
    assert (policy.spec.first_step, policy.spec.horizon) == (1, 4)
    assert not policy.spec.supports_prefix
    evaluation, _ = _replay(policy, GrootDataset.open(run.dataset_path[0]))
    for each, episode in zip(evaluation.trajectories, (0, 1), strict=True):
        assert each.task == "Tidy up."
        arm = layout.made.values("action", episode)[1:, 1:7].astype(np.float32)
        np.testing.assert_array_equal(each.demonstrated[:, 1:], arm)


def test_relative_statistics_are_of_the_steps_that_chunks_have(settings, base, tmp_path):
    layout = three_cameras(deltas=[1, 2, 3, 4])
    plan = make_plan(_settings(settings, base, layout, tmp_path))
    statistics = plan.base.processor_config.statistics["new_embodiment"].relative_action["arm"]
    moved = []
    for episode in (0, 1):
        action = layout.made.values("action", episode)[:, 1:7].astype(np.float64)
        state = layout.made.values("observation.state", episode)[:, 1:7].astype(np.float32)
        rows = len(state) - 4
        moved.append(action[3 : 3 + rows] - state[:rows])  # the chunk's third action
    by_hand = np.concatenate(moved)
    np.testing.assert_allclose(statistics.max[2], by_hand.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics.mean[2], by_hand.mean(axis=0), atol=1e-6)


def test_missing_statistics_are_computed_once_and_kept(settings, base, tmp_path, caplog):
    layout = three_cameras()
    run = replace(_settings(settings, base, layout, tmp_path), cache_dir=tmp_path / "cache")
    plan = make_plan(run)
    assert "meta/stats.json has no statistics: they are computed" in caplog.text
    found = plan.base.processor_config.statistics["new_embodiment"].state["arm"]
    rows = [layout.made.values("observation.state", episode)[:, 1:7] for episode in (0, 1)]
    np.testing.assert_allclose(found.min, np.concatenate(rows).min(axis=0), atol=1e-6)
    (kept,) = (tmp_path / "cache").glob("statistics-*")
    assert kept.name == f"statistics-{plan.sources[0].content_hash}"
    stored = kept / "columns.json"
    content = json.loads(stored.read_text())
    content["observation.state"]["min"][1] = -7.0
    stored.write_text(json.dumps(content))
    again = make_plan(run).base.processor_config.statistics["new_embodiment"].state["arm"]
    assert again.min[0] == -7.0  # the kept ones are read, not computed again
    assert not (run.dataset_path[0] / "meta/stats.json").exists()


def test_stale_statistics_are_noticed_and_not_used(settings, base, tmp_path, caplog):
    layout = three_cameras()
    run = _settings(settings, base, layout, tmp_path)
    described = {
        name: {key: [0.0] * width for key in ("min", "max", "mean", "std", "q01", "q99")}
        for name, (width, _) in layout.made.columns.items()
    }
    (run.dataset_path[0] / "meta/stats.json").write_text(json.dumps(described))
    found = make_plan(run).base.processor_config.statistics["new_embodiment"].state["arm"]
    assert "meta/stats.json does not describe these rows: observation.state" in caplog.text
    assert found.max.max() > 0.9


def test_empty_instructions_are_told_at_the_start_for_all_episodes(settings, base, tmp_path):
    made = two_arms(tasks=("Tidy up.", "Pick up the cube.", " "))
    run = _settings(settings, base, three_cameras(made=made), tmp_path)
    with pytest.raises(HandoverError) as raised:
        make_plan(run)
    assert str(raised.value).count(EMPTY_INSTRUCTION) == 2
    assert "episode 0, step 12" in str(raised.value)
    told = [one for one in check_dataset(run.dataset_path[0]) if one.severity == "note"]
    assert any(EMPTY_INSTRUCTION in one.text for one in told)
    make_plan(replace(run, modality_config_path=(str(_coarse(tmp_path)),)))


def _coarse(tmp_path):
    folder = tmp_path / "coarse"
    folder.mkdir()
    return three_cameras(language="annotation.human.coarse").config(folder)
