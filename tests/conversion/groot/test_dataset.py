"""Reading a GR00T dataset back: rows, single frames, and clear errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_proto.embodiment import GR1_SLICES


@pytest.fixture
def dataset(record, convert):
    return GrootDataset.open(convert(record(lengths=(60, 50))))


def test_it_tells_what_it_holds(dataset):
    assert [(e.index, e.length, e.tasks) for e in dataset.episodes] == [
        (0, 24, ("Pick up the cube.",)),
        (1, 20, ("Pick up the cube.",)),
    ]
    assert dataset.cameras == ("ego_view",)
    assert dataset.state_groups == dataset.action_groups == GR1_SLICES
    assert dataset.conversion["source"]["codebase_version"] == "v2.1"


def test_rows_have_the_promised_shapes(dataset):
    rows = dataset.read_episode(1)
    assert rows.state.shape == rows.action.shape == (20, 29)
    assert {rows.state.dtype, rows.action.dtype, rows.timestamp.dtype} == {np.dtype(np.float32)}
    assert len(rows.tasks) == 20
    assert rows.task_at(19) == "Pick up the cube."


@pytest.mark.parametrize("rows", [[0], [23], [3, 4, 5], [0, 9, 10, 11, 22], []])
def test_single_frames_are_those_of_the_whole_video(dataset, rows):
    whole = list(dataset.read_frames(0, "ego_view"))
    assert len(whole) == 24
    frames = list(dataset.read_frames(0, "ego_view", rows))
    assert len(frames) == len(rows)
    for row, frame in zip(rows, frames, strict=True):
        np.testing.assert_array_equal(frame, whole[row])


def test_unknown_names_are_answered_with_those_there_are(dataset):
    with pytest.raises(DatasetError, match="no episode 7; it has: 0, 1"):
        dataset.read_episode(7)
    with pytest.raises(DatasetError, match="no camera 'top'; it has: ego_view"):
        list(dataset.read_frames(0, "top"))
    for rows in ([24], [-1], [3, 2], [1, 1]):
        with pytest.raises(DatasetError, match="expected ascending rows from 0 to 23"):
            list(dataset.read_frames(0, "ego_view", rows))


def test_the_hash_is_the_contents(dataset, contents, tmp_path):
    before = dataset.content_hash()
    assert GrootDataset.open(dataset.path).content_hash() == before
    dataset.path.rename(tmp_path / "moved")
    assert GrootDataset.open(tmp_path / "moved").content_hash() == before
    path = tmp_path / "moved/meta/tasks.jsonl"
    path.write_text(path.read_text().replace("cube", "cone"))
    assert GrootDataset.open(tmp_path / "moved").content_hash() != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modality.json", None, "expected a GR00T dataset; handover convert makes one"),
        ("modality.json", "{}", "state is not usable"),
        ("info.json", "{", "not readable JSON"),
        ("info.json", "[]", "expected a JSON object"),
        ("info.json", '{"fps": -1}', "expected fps above 0"),
        ("episodes.jsonl", "{}\n", "line 1 has no 'episode_index'"),
        (
            "episodes.jsonl",
            2 * '{"episode_index": 0, "length": 24, "tasks": []}\n',
            "lists an episode twice",
        ),
        ("tasks.jsonl", '{"task_index": "0", "task": ""}\n', "expected int"),
    ],
)
def test_broken_metadata_is_one_clear_line(dataset, name, content, message):
    path = dataset.path / "meta" / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DatasetError, match=message) as raised:
        GrootDataset.open(dataset.path)
    assert "\n" not in str(raised.value)


def test_missing_files_are_told_when_they_are_read(dataset):
    dataset.rows_path(0).unlink()
    dataset.video_path(0, "ego_view").unlink()
    with pytest.raises(DatasetError, match="parquet: the file is missing"):
        dataset.read_episode(0)
    with pytest.raises(DatasetError, match="missing"):
        list(dataset.read_frames(0, "ego_view"))


def test_rows_that_do_not_fit_the_metadata_are_one_clear_line(dataset):
    places = {**dataset.action_columns.places, "waist": ("action", 26, 31)}
    wide = replace(dataset, action_columns=replace(dataset.action_columns, places=places))
    with pytest.raises(DatasetError, match=r"action\.waist is 26…31, expected a range within 0…29"):
        wide.read_episode(0)
    unknown = replace(dataset.instructions, texts={7: "Fly."})
    with pytest.raises(DatasetError, match="task_index 0 is not in the dataset's tasks"):
        replace(dataset, instructions=unknown).read_episode(0)


def test_a_task_column_of_its_own_is_used(dataset):
    path = dataset.path / "meta/modality.json"
    modality = json.loads(path.read_text())
    modality["annotation"]["human.task_description"] = {}  # no such column: task_index then
    path.write_text(json.dumps(modality))
    assert GrootDataset.open(dataset.path).read_episode(0).task_at(0) == "Pick up the cube."
