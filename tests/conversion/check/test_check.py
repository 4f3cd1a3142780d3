"""The check passes a whole dataset, finds each fault of a broken one, and tells notes apart."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_conversion.check import command
from handover_conversion.check.config import CheckConfig
from handover_conversion.check.run import check_dataset, write_statistics
from handover_conversion.errors import DatasetError
from handover_conversion.findings import EMPTY_INSTRUCTION
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig

_CONVERTED = []


@pytest.fixture
def finished(record, convert, tmp_path):
    """A converted dataset of the test's own."""
    if not _CONVERTED:
        _CONVERTED.append(convert(record(lengths=(60, 50)), image_size=48))
    return shutil.copytree(_CONVERTED[0], tmp_path / "finished")


def _edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _edit_rows(path, name, change):
    table = pq.read_table(path)
    values = np.array(table.column(name).to_pylist())
    values = np.asarray(change(values))
    column = pa.array(list(values)) if values.ndim > 1 else pa.array(values)
    column = column.cast(table.schema.field(name).type)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)


@pytest.fixture
def notes(finished):
    """The notes of a dataset that was not tampered with."""
    return set(check_dataset(finished))


def _faults(path):
    return [one for one in check_dataset(path) if one.severity == "fault"]


def test_a_finished_dataset_has_no_faults(finished, capsys):
    main(ConvertConfig(check=finished))
    told = capsys.readouterr().out
    assert "no faults" in told
    assert "2 episodes, 44 rows, cameras: ego_view" in told
    command.main(CheckConfig(finished))
    assert capsys.readouterr().out == told


def _changed(row, column, value):
    def change(values):
        values[row, column] = value
        return values

    return change


INFO, STATS, RELATIVE = "meta/info.json", "meta/stats.json", "meta/relative_stats.json"
MODALITY = "meta/modality.json"
JSON_FAULTS = [
    (INFO, lambda c: c.update(fps=30), "20 frames/s, expected the dataset's 30"),
    (INFO, lambda c: c.update(features=[]), "has no features"),
    (INFO, lambda c: c["features"].update(action=[1]), r"features\['action'\] has no shape"),
    (INFO, lambda c: c["features"]["index"].update(shape="1"), "'index'. has no shape"),
    (INFO, lambda c: c.update(data_path="data/{wrong}"), "data_path or chunks_size cannot be used"),
    (INFO, lambda c: c.update(chunks_size=0), "data_path or chunks_size cannot be used"),
    (MODALITY, lambda c: c.update(video=[1]), "video is not usable"),
    (MODALITY, lambda c: c["annotation"].update(human=None), "annotation is not usable"),
    (MODALITY, lambda c: c["action"]["waist"].update(original_key=3), "action is not usable"),
    (MODALITY, lambda c: c["video"]["ego_view"].update(original_key=[]), "video is not usable"),
    (MODALITY, lambda c: c["state"]["waist"].update(end=30), "expected a range within 0…29"),
    (MODALITY, lambda c: c["state"]["waist"].update(start=29), "state.waist is 29…29"),
    (
        MODALITY,
        lambda c: c["video"]["ego_view"].update(original_key="x"),
        "which is not a video of",
    ),
    (STATS, lambda c: c["action"]["mean"].__setitem__(3, 99.0), r"mean\[3\] is 99, above max"),
    (STATS, lambda c: c["action"].update(max=c["action"]["q01"]), "above max"),
    (STATS, lambda c: c["action"].update(mean=["much"] * 29), "action: expected"),
    (STATS, lambda c: c["action"].update(mean=[float("nan")] * 29), "action: expected"),
    (RELATIVE, lambda c: c["left_arm"]["min"].pop(), "left_arm: expected"),
    (RELATIVE, lambda c: c["left_arm"].update(mean=None), "left_arm: expected"),
]


@pytest.mark.parametrize(("name", "change", "expected"), JSON_FAULTS)
def test_what_would_fail_is_a_fault(finished, name, change, expected):
    _edit(finished / name, change)
    with pytest.raises(DatasetError, match=expected):
        main(ConvertConfig(check=finished))


JSON_NOTES = [
    (INFO, lambda c: c.update(total_frames=45), "total_frames is 45, counted 44"),
    (INFO, lambda c: c.update(total_episodes=10**9), "total_episodes is 1000000000, counted 2"),
    (INFO, lambda c: c["features"].pop("action"), "features has no 'action'"),
    (MODALITY, lambda c: c["action"]["waist"].update(start=25), "overlaps the group before"),
    (STATS, lambda c: c["action"]["mean"].__setitem__(3, 0.9), r"mean[3] is 0.9, the rows give"),
    (STATS, lambda c: c["action"].pop("q01"), "action has no q01: a training computes them"),
    (STATS, lambda c: c.pop("observation.state"), "has no 'observation.state'"),
    (RELATIVE, lambda c: c["left_arm"]["std"][7].__setitem__(2, 5.0), "left_arm: std[7, 2]"),
    (RELATIVE, lambda c: c.update(tail=c["left_arm"]), "'tail' is not a group"),
]


@pytest.mark.parametrize(("name", "change", "expected"), JSON_NOTES)
def test_what_training_does_without_is_a_note(finished, notes, name, change, expected):
    _edit(finished / name, change)
    (found,) = set(check_dataset(finished)) - notes
    assert found.severity == "note"
    assert expected in found.text


def test_statistics_of_other_rows_are_stale_and_can_be_written_anew(finished):
    rows = finished / "data/chunk-000/episode_000001.parquet"
    _edit_rows(rows, "observation.state", _changed(3, 3, 900.0))
    relative, stale = _faults(finished)
    assert stale.kind == relative.kind == "statistics"
    assert "stats.json is stale: observation.state: a row has 900 in value 3" in stale.text
    assert "relative_stats.json is stale: left_arm" in relative.text
    write_statistics(finished)
    assert _faults(finished) == []
    assert not list((finished / "meta").glob("*.partial"))


ROWS = [
    ("action", _changed(5, 3, np.nan), "fault", "action is NaN or infinite in row 5, 1 rows"),
    (
        "timestamp",
        lambda v: np.where(np.arange(20) == 5, np.nan, v),
        "note",
        "timestamp is NaN or infinite in row 5",
    ),
    ("observation.state", lambda v: v[:, :28], "fault", "expected a range within 0…28"),
    ("index", lambda v: v[::-1], "note", "index does not go from 43 to 62"),
    ("episode_index", lambda v: v * 0, "note", "episode_index does not go from 1 to 1"),
    ("frame_index", lambda v: v[::-1], "note", "frame_index does not go from 0 to 19"),
    ("timestamp", lambda v: v * 0.4, "note", "timestamp does not count in steps of 1/20 s"),
    ("task_index", lambda v: v + 3, "fault", "task_index 3 is not in the dataset's tasks"),
]


@pytest.mark.parametrize(("column", "change", "severity", "expected"), ROWS)
def test_wrong_rows_are_found(finished, notes, column, change, severity, expected):
    _edit_rows(finished / "data/chunk-000/episode_000001.parquet", column, change)
    found = [one for one in check_dataset(finished) if one not in notes]
    (first,) = [one for one in found if expected in one.text]
    assert first.severity == severity
    assert first.episode in (1, None)


@pytest.mark.parametrize(("frames", "severity"), [(19, "fault"), (21, "note")])
def test_frames_and_rows_differ_in_number(finished, draw_video, frames, severity):
    notes = set(check_dataset(finished))
    name = "videos/chunk-000/observation.images.ego_view/episode_000001.mp4"
    draw_video(finished / name, range(frames), fps=20, square=True)
    (found,) = set(check_dataset(finished)) - notes
    assert (found.severity, found.episode) == (severity, 1)
    assert found.text.startswith(f"ego_view: the video has {frames} frames, expected 20")


def test_another_image_size_is_a_note(finished, notes, draw_video):
    name = "videos/chunk-000/observation.images.ego_view/episode_000000.mp4"
    draw_video(finished / name, range(24), fps=20)
    (found,) = set(check_dataset(finished)) - notes
    assert found.severity == "note"
    assert "frames are (height, width) (48, 64), info.json has (48, 48)" in found.text


def test_missing_and_stray_files_are_found(finished, notes):
    rows = finished / "data/chunk-000/episode_000001.parquet"
    rows.rename(rows.with_name("episode_000002.parquet"))
    (missing,) = _faults(finished)
    assert str(missing).startswith("episode 1: ")
    assert "episode_000001.parquet: the file is missing" in missing.text
    stray = "data/chunk-000/episode_000002.parquet belongs to no episode"
    assert stray in [one.text for one in check_dataset(finished) if one.severity == "note"]


@pytest.mark.parametrize(
    ("line", "severity", "expected"),
    [
        ({"episode_index": 2, "length": 20}, "note", "does not count from 0 on: episode 2"),
        ({"episode_index": 1, "tasks": ["Fly."], "length": 20}, "note", "are not the dataset's"),
        ({"episode_index": 1, "tasks": ["Fly."], "length": 20}, "note", "the rows name"),
        ({"episode_index": 1, "length": 21}, "fault", "has 20 rows, expected 21"),
        ({"episode_index": 1, "length": 0}, "fault", "has length 0"),
        ({"episode_index": 1, "length": 10**12}, "fault", "expected 0 to 10000000 rows"),
        ({"episode_index": -1, "length": 20}, "fault", "episode -1 has length 20"),
    ],
)
def test_a_wrong_list_of_episodes_is_found(finished, line, severity, expected):
    path = finished / "meta/episodes.jsonl"
    first = path.read_text().splitlines()[0]
    path.write_text(f"{first}\n{json.dumps(line)}\n")
    found = [one for one in check_dataset(finished) if expected in one.text]
    assert [one.severity for one in found] == [severity]


def test_no_episodes_are_found(finished):
    (finished / "meta/episodes.jsonl").write_text("")
    assert "the list of episodes is empty" in _faults(finished)[0].text


def test_an_empty_instruction_is_a_fault_where_it_begins(finished):
    (finished / "meta/tasks.jsonl").write_text(
        '{"task_index": 0, "task": "Pick up the cube."}\n{"task_index": 1, "task": " "}\n'
    )
    rows = finished / "data/chunk-000/episode_000001.parquet"
    _edit_rows(rows, "task_index", lambda v: np.arange(len(v)) // 12)
    (empty,) = _faults(finished)
    assert (empty.kind, empty.episode, empty.step) == ("instruction", 1, 12)
    assert empty.text == EMPTY_INSTRUCTION


def test_a_folder_without_a_dataset_is_one_fault(tmp_path):
    (one,) = check_dataset(tmp_path)
    assert (one.severity, one.kind) == ("fault", "structure")
    assert "has no meta/info.json" in one.text


def test_all_faults_are_told_together(finished):
    (finished / "data/chunk-000/episode_000000.parquet").unlink()
    (finished / "videos/chunk-000/observation.images.ego_view/episode_000001.mp4").unlink()
    with pytest.raises(
        DatasetError, match=r"(?s)2 faults.*episode 0: data.*episode 1: ego_view: videos"
    ):
        main(ConvertConfig(check=finished))


FOREIGN_COLUMNS = [
    ("timestamp", pa.array(["soon"] * 20), "note", "timestamp holds string, expected numbers"),
    ("index", pa.array([[]] * 20, pa.list_(pa.int64())), "note", "index"),
    ("task_index", pa.array([0.5] * 20), "fault", "task_index: expected one index of the tasks"),
    ("task_index", pa.array([None] * 20, pa.int64()), "fault", "task_index has 20 null rows"),
    ("action", pa.array(["up"] * 20), "fault", "action holds string, expected numbers"),
    (
        "action",  # 29 wide on average
        pa.array([[1.0] * (28 + 2 * (row % 2)) for row in range(20)]),
        "fault",
        "action is 28, 30 wide, expected one width",
    ),
]


@pytest.mark.parametrize(("column", "values", "severity", "expected"), FOREIGN_COLUMNS)
def test_columns_of_another_kind_are_found(finished, column, values, severity, expected):
    _replace(finished / "data/chunk-000/episode_000001.parquet", column, values)
    found = [one for one in check_dataset(finished) if expected in one.text and one.episode == 1]
    assert [one.severity for one in found] == [severity]


def test_a_column_of_texts_is_the_instruction_itself(finished):
    for index, length in enumerate((24, 20)):
        path = finished / f"data/chunk-000/episode_{index:06d}.parquet"
        _replace(path, "task_index", pa.array(["Pick up the cube."] * length))
    assert _faults(finished) == []


def _replace(path, column, values):
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values), path)


def test_what_nvidias_loader_does_not_read_is_no_fault(finished, notes):
    """A camera left out of modality.json, an annotation with a text of its own, groups' order."""
    wrist = "observation.images.wrist"
    _edit(finished / INFO, lambda c: c["features"].update({wrist: {"dtype": "video", "shape": []}}))
    _edit(finished / INFO, lambda c: c.update(total_videos=4, total_tasks=2))
    validity = "annotation.human.validity"
    described = {"dtype": "int64", "shape": [1]}
    _edit(finished / INFO, lambda c: c["features"].update({validity: described}))
    _edit(finished / MODALITY, lambda c: c["annotation"].update({"human.validity": {}}))
    _edit(finished / MODALITY, lambda c: c.update(state=dict(reversed(c["state"].items()))))
    (finished / "meta/tasks.jsonl").open("a").write('{"task_index": 1, "task": "valid"}\n')
    lines = (finished / "meta/episodes.jsonl").read_text().replace('cube."]', 'cube.", "valid"]')
    (finished / "meta/episodes.jsonl").write_text(lines)
    for index in range(2):
        path = finished / f"data/chunk-000/episode_{index:06d}.parquet"
        table = pq.read_table(path)
        pq.write_table(table.append_column(validity, pa.array([1] * table.num_rows)), path)
        video = finished / f"videos/chunk-000/{wrist}/episode_{index:06d}.mp4"
        video.parent.mkdir(exist_ok=True)
        video.write_bytes(b"not read")
    assert set(check_dataset(finished)) == notes


def test_a_fault_of_one_kind_hides_none_of_another(finished):
    _edit(finished / INFO, lambda c: c.update(total_tasks=7))
    _edit(finished / MODALITY, lambda c: c["state"]["waist"].update(end=30))
    _edit(finished / STATS, lambda c: c["action"].update(mean=[0.0]))
    _edit(finished / RELATIVE, lambda c: c.update(tail=c["left_arm"]))
    rows = finished / "data/chunk-000/episode_000000.parquet"
    _edit_rows(rows, "action", _changed(5, 3, np.nan))
    (finished / "videos/chunk-000/observation.images.ego_view/episode_000001.mp4").unlink()
    (finished / "data/chunk-000/episode_000007.parquet").write_bytes(b"PAR1")
    told = "\n".join(map(str, check_dataset(finished)))
    for what in (
        *("total_tasks is 7", "state.waist is 26…30", "'tail' is not a group"),
        *("action is NaN", "the file is missing", "belongs to no episode"),
    ):
        assert what in told
