"""Datasets as people have them: every layout, groups of several columns, images in the rows."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset

from ...groot_datasets import MadeDataset, told_row, two_arms

LAYOUTS = {
    "2.1": {},
    "3.0": {"version": "v3.0"},
    "2.0 without index columns": {"version": "v2.0", "counts": False},
    "images in the rows": {"images": ("observation.images.cam_left",)},
    "3.0 with images": {"version": "v3.0", "images": ("observation.images.right",)},
}


@pytest.fixture(params=LAYOUTS)
def made(request):
    return two_arms(**LAYOUTS[request.param])


@pytest.fixture
def dataset(made, tmp_path):
    return GrootDataset.open(made.make(tmp_path / "made"))


def test_groups_are_the_columns_that_they_name(made, dataset):
    for episode in (0, 1):
        rows = dataset.read_episode(episode)
        assert rows.state.dtype == rows.action.dtype == np.float32
        for groups, held, arm, gripper in (
            (dataset.state_groups, rows.state, "observation.state", "observation.gripper"),
            (dataset.action_groups, rows.action, "action", "teleop.gripper"),
        ):
            expected = made.values(arm, episode)[:, 1:7].astype(np.float32)
            np.testing.assert_array_equal(held[:, groups["arm"]], expected)
            expected = made.values(gripper, episode).astype(np.float32)
            np.testing.assert_array_equal(held[:, groups["gripper"]], expected)
        np.testing.assert_allclose(rows.timestamp, np.arange(made.lengths[episode]) / 20, atol=1e-6)


def test_frames_are_the_cameras_own_at_their_sizes(made, dataset):
    for camera, size in (("high", (64, 96)), ("left", (96, 64)), ("right", (48, 48))):
        assert dataset.frame_size(camera) == size
        for episode in (0, 1):
            wanted = [0, 5, 6, made.lengths[episode] - 1]
            frames = list(dataset.read_frames(episode, camera, wanted))
            assert [told_row(frame) for frame in frames] == wanted
            assert {frame.shape for frame in frames} == {(*size, 3)}
            place = ("high", "left", "right").index(camera)
            below = {round(float(frame[-4:].mean())) // 10 for frame in frames}
            assert below <= {(60 + 40 * episode + 20 * place + off) // 10 for off in (-2, 0, 2)}


def test_the_instruction_is_that_of_the_language_key(dataset):
    assert set(dataset.read_episode(1, "annotation.human.coarse").tasks) == {"Tidy up."}
    fine = ["Pick up the cube.", "Put down the cube."]
    for key in ("annotation.human.fine", "task"):
        tasks = dataset.read_episode(1, key).tasks
        assert [tasks[0], tasks[12]] == fine
        assert tasks == (fine[0],) * 12 + (fine[1],) * 12
    with pytest.raises(DatasetError, match=r"'annotation\.human\.task_description', expected one"):
        dataset.read_episode(1, "annotation.human.task_description")


def test_no_layout_has_a_fault(dataset):
    found = check_dataset(dataset.path)
    assert [str(one) for one in found if one.severity == "fault"] == []


def test_a_lerobot_dataset_is_checked_as_it_is(tmp_path):
    plain = two_arms(modality={}, version="v3.0").make(tmp_path / "plain")
    with pytest.raises(DatasetError, match=r"no meta/modality\.json"):
        GrootDataset.open(plain)
    found = check_dataset(plain)
    assert [str(one) for one in found if one.severity == "fault"] == []
    dataset = GrootDataset.open(plain, plain=True)
    assert dataset.cameras == ("cam_high", "cam_left", "right")
    assert list(dataset.action_groups) == ["action"]


def test_instructions_may_be_texts_in_the_rows(tmp_path):
    texts = {"annotation.human.coarse": lambda episode, row: f"Do {episode}."}
    made = two_arms(indices={"task_index": lambda *_: 0, **texts})
    dataset = GrootDataset.open(made.make(tmp_path / "texts"))
    assert set(dataset.read_episode(1, "annotation.human.coarse").tasks) == {"Do 1."}


def test_without_a_task_column_the_lists_only_instruction_holds(tmp_path):
    made = two_arms(indices={})
    folder = made.make(tmp_path / "listed")
    modality = json.loads((folder / "meta/modality.json").read_text()) | {"annotation": {}}
    (folder / "meta/modality.json").write_text(json.dumps(modality))
    assert set(GrootDataset.open(folder).read_episode(0).tasks) == {"Tidy up."}
    lines = (folder / "meta/episodes.jsonl").read_text()
    (folder / "meta/episodes.jsonl").write_text(
        lines.replace('["Tidy up."]', '["Tidy up.", "No."]')
    )
    with pytest.raises(DatasetError, match="2 instructions in its list and no column task_index"):
        GrootDataset.open(folder).read_episode(0)


def test_one_bad_episode_hides_no_other(tmp_path):
    made = replace(two_arms(), lengths=(30, 24, 26, 28))
    folder = made.make(tmp_path / "bad")
    (folder / "data/chunk-000/episode_000001.parquet").write_bytes(b"PAR1")
    (folder / "videos/chunk-000/observation.images.cam_left/episode_000002.mp4").write_bytes(b"")
    path = folder / "data/chunk-000/episode_000003.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 20), path)
    (folder / "meta/episodes.jsonl").open("a").write('{"episode_index": 4}\nnothing\n')
    faults = [one for one in check_dataset(folder) if one.severity == "fault"]
    assert [one.episode for one in faults] == [None, 1, 2, 3, 4]
    assert "line 6 is not JSON" in faults[0].text
    with pytest.raises(DatasetError, match="line 5 has no 'length'"):
        GrootDataset.open(folder)  # to be trained on, a list has to be whole


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_hash_covers_every_file(tmp_path, version):
    folder = two_arms(version=version).make(tmp_path / "made")
    before = GrootDataset.open(folder).content_hash()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = GrootDataset.open(folder).files()
    assert {path.relative_to(folder).as_posix() for path in files} == names
    video = next(path for path in files if path.suffix == ".mp4")
    video.write_bytes(video.read_bytes() + b"0")
    assert GrootDataset.open(folder).content_hash() != before


def test_a_made_dataset_differs_between_episodes():
    """The helper's own promise, which the tests above rest on."""
    made = two_arms()
    assert isinstance(made, MadeDataset)
    assert not np.array_equal(made.values("action", 0)[:20], made.values("action", 1)[:20])


def test_columns_of_other_names_and_missing_states_are_looked_at(tmp_path):
    columns = {"actions": (3, "float32"), "observations/state": (2, "float64")}
    folder = MadeDataset(columns, {}, {}).make(tmp_path / "named")
    dataset = GrootDataset.open(folder, plain=True)
    assert (list(dataset.state_groups), list(dataset.action_groups)) == (
        ["observations/state"],
        ["actions"],
    )
    alone = MadeDataset({"action": (3, "float32")}, {}, {}).make(tmp_path / "alone")
    faults = [one.text for one in check_dataset(alone) if one.severity == "fault"]
    assert faults == ["meta/modality.json: there are no groups of state"]
    assert GrootDataset.open(alone, plain=True).read_episode(0).state.shape == (30, 0)
