"""`handover convert` makes the dataset that it promises, of every version and any rate."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from handover_common.errors import FileError, UsageError
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig
from handover_proto.embodiment import ALOHA_SLOTS, widen

SHARED = Path(os.environ.get("HANDOVER_DATASETS", Path(__file__).parents[3] / "../shared/datasets"))


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
def test_every_version_gives_the_same_dataset(record, convert, frame_number, version):
    output = convert(record(version=version, lengths=(60, 51)))
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    dataset = GrootDataset.open(output)
    assert dataset.fps == 20
    assert [entry.length for entry in dataset.episodes] == [24, 21]
    for entry in dataset.episodes:
        rows = dataset.read_episode(entry.index)
        time = np.arange(entry.length) / 20
        np.testing.assert_array_equal(rows.timestamp, time.astype(np.float32))
        expected = np.zeros((entry.length, 29))
        expected[:, ALOHA_SLOTS] = time[:, None] * np.arange(1, 15)
        np.testing.assert_allclose(rows.state, expected, rtol=1e-6, atol=1e-6)
        nearest = np.arange(entry.length) * 5 // 2  # of two as near the earlier
        np.testing.assert_array_equal(rows.action[:, 7], (nearest // 3) % 2)  # left gripper
        np.testing.assert_array_equal(rows.action[:, 20], (nearest // 3) % 2)  # right gripper
        arms = [slot for slot in ALOHA_SLOTS if slot not in (7, 20)]
        np.testing.assert_allclose(
            rows.action[:, arms], expected[:, arms] + 0.5, rtol=1e-6, atol=1e-6
        )
        frames = list(dataset.read_frames(entry.index, "ego_view"))
        assert {frame.shape for frame in frames} == {(256, 256, 3)}
        assert [frame_number(frame) for frame in frames] == nearest.tolist()
        assert rows.task_at(0) == "Pick up the cube."


@pytest.mark.parametrize(("from_hz", "to_hz"), [(30, 30), (15, 20), (29.97, 10)])
def test_any_rate_becomes_any_rate(record, convert, frame_number, from_hz, to_hz):
    output = convert(record(fps=from_hz, lengths=(90,)), fps=to_hz, horizon=4)
    dataset = GrootDataset.open(output)
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    rows = dataset.read_episode(0)
    numbers = [frame_number(frame) for frame in dataset.read_frames(0, "ego_view")]
    assert len(numbers) == len(rows)
    wrong = np.abs(np.array(numbers) / from_hz - rows.timestamp)
    assert wrong.max() <= 0.5 / from_hz + 1e-3


@pytest.mark.parametrize("codec", ["mp4v", "h264"])
def test_both_codecs_give_every_frame(record, convert, frame_number, codec):
    dataset = GrootDataset.open(convert(record(lengths=(60,)), codec=codec, image_size=128))
    numbers = [frame_number(frame) for frame in dataset.read_frames(0, "ego_view", [3, 4, 11, 23])]
    assert numbers == [7, 10, 27, 57]


def test_the_metadata_is_what_nvidias_loader_reads(record, convert):
    output = convert(record(lengths=(60, 50)))
    meta = {path.name: path for path in (output / "meta").iterdir()}
    modality = json.loads(meta["modality.json"].read_text())
    assert modality["state"]["right_arm"] == {
        "start": 13,
        "end": 20,
        "original_key": "observation.state",
    }
    assert modality["video"] == {"ego_view": {"original_key": "observation.images.ego_view"}}
    assert modality["annotation"] == {"human.task_description": {"original_key": "task_index"}}
    statistics = json.loads(meta["stats.json"].read_text())
    assert set(statistics) == {"observation.state", "action", "timestamp"}
    assert set(statistics["action"]) == {"mean", "std", "min", "max", "q01", "q99"}
    relative = json.loads(meta["relative_stats.json"].read_text())
    assert {name: np.shape(stats["mean"]) for name, stats in relative.items()} == {
        "left_arm": (16, 7),
        "right_arm": (16, 7),
    }
    info = json.loads(meta["info.json"].read_text())
    assert (info["fps"], info["total_episodes"], info["total_frames"]) == (20, 2, 44)
    assert pq.read_schema(output / "data/chunk-000/episode_000001.parquet").names == [
        "observation.state",
        "action",
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    ]
    made = json.loads(meta["conversion.json"].read_text())
    assert made["source"]["codebase_version"] == "v2.1"
    assert len(made["source"]["sha256"]) == 64
    assert made["parameters"]["fps"] == 20
    assert made["resampling"]["video"].startswith("nearest")


def test_several_tasks_keep_their_texts(record, convert):
    source = record(lengths=(60,))
    lines = [{"task_index": 0, "task": "Reach."}, {"task_index": 1, "task": "Lift it."}]
    (source / "meta/tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = source / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path)
    column = table.schema.get_field_index("task_index")
    halves = [[0] * 30 + [1] * 30]
    pq.write_table(table.set_column(column, "task_index", halves), path)
    dataset = GrootDataset.open(convert(source))
    rows = dataset.read_episode(0)
    assert [rows.task_at(row) for row in (0, 11, 12, 23)] == ["Reach."] * 2 + ["Lift it."] * 2
    assert dataset.episodes[0].tasks == ("Reach.", "Lift it.")


def test_another_robot_needs_only_a_small_file(record, convert, tmp_path):
    layout = {
        "name": "small",
        "groups": {"arm": [0, 1, 2, 3], "gripper": [6]},
        "relative": ["arm"],
        "nearest": [6],
    }
    (tmp_path / "small.json").write_text(json.dumps(layout))
    source = record(width=7, lengths=(60,), camera="observation.images.wrist")
    dataset = GrootDataset.open(
        convert(
            source,
            video_key="observation.images.wrist",
            embodiment=str(tmp_path / "small.json"),
            horizon=8,
        )
    )
    assert not [one for one in check_dataset(dataset.path) if one.severity == "fault"]
    assert dataset.action_groups == {"arm": slice(0, 4), "gripper": slice(4, 5)}
    rows = dataset.read_episode(0)
    np.testing.assert_allclose(rows.state[10], np.float32(0.5) * np.array([1, 2, 3, 4, 7]))
    assert set(np.unique(rows.action[:, 4])) == {0, 1}


def test_an_embodiment_with_an_empty_group_is_refused(record, convert, tmp_path):
    (tmp_path / "gap.json").write_text(json.dumps({"groups": {"arm": [0, 1], "hand": []}}))
    with pytest.raises(DatasetError, match=r"gap\.json: .* a group is empty"):
        convert(record(width=7), embodiment=str(tmp_path / "gap.json"))


def test_identity_keeps_the_columns(record, convert):
    dataset = GrootDataset.open(convert(record(width=5, lengths=(60,)), embodiment="identity"))
    assert dataset.state_groups == {"joints": slice(0, 5)}
    assert not [one for one in check_dataset(dataset.path) if one.severity == "fault"]


def test_the_source_is_left_as_it_is(record, convert, contents):
    source = record()
    before = contents(source)
    times = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    convert(source)
    assert contents(source) == before
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == times


def test_an_existing_output_is_replaced_only_when_told(record, convert, contents):
    output = convert(record(lengths=(60,)))
    before = contents(output)
    with pytest.raises(DatasetError, match="exists"):
        convert(record("other", lengths=(50, 50)))
    assert contents(output) == before
    convert(output.parent / "other", overwrite=True)
    assert len(GrootDataset.open(output).episodes) == 2
    assert not list(output.parent.glob(".*"))


def test_only_a_dataset_is_ever_replaced(record, convert, tmp_path):
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted/thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="holds no dataset"):
        convert(record(), overwrite=True)
    assert (tmp_path / "converted/thesis.txt").read_text() == "years of work"


def test_an_output_in_the_source_is_refused(record, convert):
    source = record()
    with pytest.raises(DatasetError, match="within each other"):
        main(ConvertConfig(source=str(source), output=source / "out"))
    with pytest.raises(DatasetError, match="within each other"):
        main(ConvertConfig(source=str(source), output=source.parent, overwrite=True))


def test_a_full_disk_is_told_before_the_work(record, convert, monkeypatch):
    from handover_conversion.pipeline import preflight as space

    class Usage:
        free = 1000

    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DatasetError, match=r"needs about .* GB, .* has 1e-06 GB free"):
        convert(record())


def test_a_target_that_cannot_be_written_is_told(record, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is not a writable folder"):
        main(ConvertConfig(source=str(record()), output=tmp_path / "file/out"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_target_that_cannot_be_replaced_is_told_before_the_work(
    record, tmp_path, monkeypatch, overwrite
):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "disk").mkdir()
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk" or ismount(path))
    source = str(record())
    for output, error, message in (
        (Path("/"), FileError, "/ cannot be replaced"),
        (tmp_path / "link", DatasetError, "is not a folder" if overwrite else "exists"),
        (tmp_path / "disk", DatasetError, "a disk is mounted at"),
    ):
        with pytest.raises(error, match=message):
            main(ConvertConfig(source=source, output=output, overwrite=overwrite))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"source": None}, UsageError, "--source and --output"),
        ({"image_size": 255}, UsageError, "even image size"),
        ({"fps": 0.0}, UsageError, "above 0 Hz"),
        ({"fps": 1e-7}, UsageError, "above 0 Hz"),
        ({"fps": 16.66667}, UsageError, "mp4v cannot be written .* at 1666667/100000 frames/s"),
        ({"image_size": 9000}, UsageError, "mp4v cannot be written with 9000 × 9000 pixels"),
        ({"workers": 0}, UsageError, "at least 1 worker"),
        ({"source": "no/such"}, DatasetError, "no/such"),
        ({"revision": "v2.1"}, UsageError, "--revision is for a Hub repository"),
        ({"video_key": "observation.images.wrist"}, DatasetError, "it has: observation.images.top"),
        ({"embodiment": "identikit"}, DatasetError, "no embodiment 'identikit'"),
    ],
)
def test_a_wrong_choice_is_one_clear_line(record, tmp_path, monkeypatch, choices, error, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = {"source": str(record()), "output": tmp_path / "converted", **choices}
    with pytest.raises(error, match=message) as raised:
        main(ConvertConfig(**config))
    assert "\n" not in str(raised.value)


def test_a_hub_repository_is_downloaded_and_converted(record, convert, monkeypatch):
    import huggingface_hub

    source, asked = record(), {}

    def snapshot_download(repository, **choices):
        asked.update(choices, repository=repository)
        return str(source)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    output = convert("lerobot/aloha_sim_transfer_cube_human", revision="v2.1")
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    assert asked["repository"] == "lerobot/aloha_sim_transfer_cube_human"
    assert asked["repo_type"] == "dataset"
    assert asked["revision"] == "v2.1"


def test_the_shipped_recordings_convert(shipped, convert):
    output = convert(shipped)
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    dataset = GrootDataset.open(output)
    assert [entry.length for entry in dataset.episodes] == [160, 160]
    recorded = pq.read_table(shipped / "data/chunk-000/episode_000001.parquet")
    joints = np.stack(recorded.column("observation.state").to_pylist()).astype(np.float32)
    rows = dataset.read_episode(1)
    np.testing.assert_array_equal(rows.state[::2], widen(joints[::5]))  # every 0.1 s is on both


@pytest.mark.parametrize("version", ["v21", "v30"])
def test_recordings_by_lerobot_itself_convert(convert, version):
    source = SHARED / f"aloha_sim_transfer_cube_{version}"
    if not source.is_dir():
        pytest.skip(f"no {source} (HANDOVER_DATASETS)")
    output = convert(source, workers=2)
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    assert [entry.length for entry in GrootDataset.open(output).episodes] == [160] * 3
