"""`--check` passes a whole dataset and finds each fault of a broken one."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_conversion.errors import DatasetError
from handover_conversion.check.run import check_dataset
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig


@pytest.fixture
def finished(record, convert):
    return convert(record(lengths=(60, 50)))


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


def test_a_finished_dataset_has_no_faults(finished, capsys):
    main(ConvertConfig(check=finished))
    assert "no faults; 2 episodes, 44 rows, cameras: ego_view" in capsys.readouterr().out


def _changed(row, column, value):
    def change(values):
        values[row, column] = value
        return values

    return change


INFO, STATS, RELATIVE = "meta/info.json", "meta/stats.json", "meta/relative_stats.json"
MODALITY = "meta/modality.json"
JSON_FAULTS = [
    (INFO, lambda c: c.update(total_frames=45), "total_frames is 45, counted 44"),
    (INFO, lambda c: c.update(total_episodes=3), "total_episodes is 3, counted 2"),
    (INFO, lambda c: c["features"].pop("action"), "no 'action'"),
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
    (MODALITY, lambda c: c["action"]["waist"].update(start=25), "overlaps the group before"),
    (MODALITY, lambda c: c["state"]["waist"].update(start=29), "state.waist is 29…29"),
    (
        MODALITY,
        lambda c: c["video"]["ego_view"].update(original_key="x"),
        "which is not a video of",
    ),
    (MODALITY, lambda c: c["annotation"]["human.task_description"].clear(), "annotation.human"),
    (STATS, lambda c: c["action"]["mean"].__setitem__(3, 9.0), r"action: mean\[3\] is 9"),
    (STATS, lambda c: c["timestamp"]["q99"].__setitem__(0, 0.0), r"timestamp: q99\[0\] is 0"),
    (STATS, lambda c: c["action"].pop("q01"), "action: expected"),
    (STATS, lambda c: c["action"].update(mean=["much"] * 29), "action: expected"),
    (STATS, lambda c: c["action"].update(mean=[float("nan")] * 29), "action: expected"),
    (STATS, lambda c: c.pop("observation.state"), "has no 'observation.state'"),
    (RELATIVE, lambda c: c["left_arm"]["std"][7].__setitem__(2, 5.0), r"left_arm: std\[7, 2\]"),
    (RELATIVE, lambda c: c.update(tail=c["left_arm"]), "'tail' is not a group"),
    (RELATIVE, lambda c: c["left_arm"]["min"].pop(), "left_arm: expected"),
    (RELATIVE, lambda c: c["left_arm"].update(mean=None), "left_arm: expected"),
    (RELATIVE, lambda c: c.pop("right_arm"), "has no 'right_arm'"),
]


@pytest.mark.parametrize(("name", "change", "expected"), JSON_FAULTS)
def test_wrong_metadata_is_found(finished, name, change, expected):
    _edit(finished / name, change)
    with pytest.raises(DatasetError, match=expected):
        main(ConvertConfig(check=finished))


ROWS_FAULTS = [
    ("action", _changed(5, 3, np.nan), "action is NaN or infinite in row 5, 1 rows"),
    ("observation.state", lambda v: v[:, :28], "observation.state is 28 wide, expected 29"),
    ("index", lambda v: v + 1, "index does not go from 24 to 43"),
    ("episode_index", lambda v: v * 0, "episode_index does not go from 1 to 1"),
    ("frame_index", lambda v: v[::-1], "frame_index does not go from 0 to 19"),
    ("timestamp", lambda v: v * 0.4, "timestamp does not count in steps of 1/20 s"),
    ("task_index", lambda v: v + 3, "task_index names"),
]


@pytest.mark.parametrize(("column", "change", "expected"), ROWS_FAULTS)
def test_wrong_rows_are_found(finished, column, change, expected):
    _edit_rows(finished / "data/chunk-000/episode_000001.parquet", column, change)
    (fault,) = check_dataset(finished)
    assert fault.episode == 1
    assert fault.file == "data/chunk-000/episode_000001.parquet"
    assert expected in fault.what


@pytest.mark.parametrize("frames", [19, 21])
def test_frames_and_rows_differ_in_number(record, convert, draw_video, frames):
    finished = convert(record(lengths=(60, 50)), image_size=48)
    name = "videos/chunk-000/observation.images.ego_view/episode_000001.mp4"
    draw_video(finished / name, range(frames), fps=20, square=True)
    (fault,) = check_dataset(finished)
    assert str(fault).startswith(f"episode 1: {name}: the video has {frames} frames, expected 20")


def test_another_image_size_is_found(finished, draw_video):
    name = "videos/chunk-000/observation.images.ego_view/episode_000000.mp4"
    draw_video(finished / name, range(24), fps=20)
    (fault,) = check_dataset(finished)
    assert "frames are (height, width) (48, 64), expected (256, 256) as in info.json" in str(fault)


def test_missing_and_stray_files_are_found(finished):
    rows = finished / "data/chunk-000/episode_000001.parquet"
    rows.rename(rows.with_name("episode_000002.parquet"))
    stray, missing = check_dataset(finished)
    assert str(stray) == "data/chunk-000/episode_000002.parquet: belongs to no episode"
    assert str(missing).startswith("episode 1: data/chunk-000/episode_000001.parquet: ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"episode_index": 2, "tasks": ["Pick up the cube."], "length": 20}, "expected 1"),
        ({"episode_index": 1, "tasks": ["Fly."], "length": 20}, "not in tasks.jsonl"),
        ({"episode_index": 1, "tasks": ["Pick up the cube."], "length": 21}, "total_frames"),
        ({"episode_index": 1, "tasks": ["Pick up the cube."], "length": 0}, "has length 0"),
        ({"episode_index": 1, "tasks": [], "length": 20}, "tasks [] are not in tasks.jsonl"),
    ],
)
def test_a_wrong_list_of_episodes_is_found(finished, line, expected):
    path = finished / "meta/episodes.jsonl"
    first = path.read_text().splitlines()[0]
    path.write_text(f"{first}\n{json.dumps(line)}\n")
    assert expected in "\n".join(str(fault) for fault in check_dataset(finished))


def test_no_episodes_and_a_task_without_words_are_found(finished):
    (finished / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": " "}\n')
    (finished / "meta/episodes.jsonl").write_text("")
    told = "\n".join(str(fault) for fault in check_dataset(finished))
    assert "meta/episodes.jsonl: lists no episodes" in told
    assert "meta/tasks.jsonl: task 0 is empty" in told


def test_a_folder_without_a_dataset_is_one_fault(tmp_path):
    (fault,) = check_dataset(tmp_path)
    assert "has no meta/info.json" in fault.what


def test_all_faults_are_told_together(finished):
    (finished / "data/chunk-000/episode_000000.parquet").unlink()
    (finished / "videos/chunk-000/observation.images.ego_view/episode_000001.mp4").unlink()
    with pytest.raises(DatasetError, match=r"(?s)2 faults.*episode 0: data.*episode 1: videos"):
        main(ConvertConfig(check=finished))


FOREIGN_COLUMNS = [
    ("timestamp", pa.array(["soon"] * 20), "timestamp holds string, expected numbers"),
    ("timestamp", pa.array([[]] * 20, pa.list_(pa.float32())), "timestamp: expected one number"),
    ("index", pa.array([[]] * 20, pa.list_(pa.int64())), "index: expected one number per row"),
    ("task_index", pa.array([0.5] * 20), "task_index: expected one number per row, integers"),
    ("task_index", pa.array(["cube"] * 20), "task_index holds string, expected numbers"),
    (
        "action",  # 29 wide on average
        pa.array([[1.0] * (28 + 2 * (row % 2)) for row in range(20)]),
        "action is 28, 30 wide, expected one width",
    ),
]


@pytest.mark.parametrize(("column", "values", "expected"), FOREIGN_COLUMNS)
def test_columns_of_another_kind_are_faults(finished, column, values, expected):
    path = finished / "data/chunk-000/episode_000001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values), path)
    assert expected in "\n".join(map(str, check_dataset(finished)))


def test_what_nvidias_loader_does_not_read_is_no_fault(finished):
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
    assert check_dataset(finished) == ()


def test_a_fault_of_one_kind_hides_none_of_another(finished):
    _edit(finished / INFO, lambda c: c.update(total_tasks=7))
    _edit(finished / MODALITY, lambda c: c["state"]["waist"].update(end=30))
    _edit(finished / STATS, lambda c: c["action"].pop("q01"))
    _edit(finished / RELATIVE, lambda c: c.update(tail=c["left_arm"]))
    rows = finished / "data/chunk-000/episode_000000.parquet"
    _edit_rows(rows, "action", _changed(5, 3, np.nan))
    (finished / "videos/chunk-000/observation.images.ego_view/episode_000001.mp4").unlink()
    (finished / "data/chunk-000/episode_000007.parquet").write_bytes(b"PAR1")
    told = "\n".join(map(str, check_dataset(finished)))
    for what in (
        *("total_tasks is 7", "state.waist is 26…30", "action: expected", "'tail' is not a group"),
        *("action is NaN", "the file is missing", "belongs to no episode"),
    ):
        assert what in told


def test_a_large_dataset_is_checked_by_a_sample(finished, monkeypatch):
    from handover_conversion.groot import check_statistics

    monkeypatch.setattr(check_statistics, "MAX_RECOMPUTED_ROWS", 10)
    assert check_dataset(finished) == ()
    _edit(finished / STATS, lambda c: c["action"].update(max=c["action"]["q01"]))
    (fault, *_) = check_dataset(finished)
    assert "goes beyond min … max" in fault.what
