"""Recordings are written as lerobot writes them, and read back as they were recorded."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs the extra 'convert' or 'replay'")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'convert' or 'replay'")

from handover_conversion.lerobot.frame_statistics import VideoRecorder  # noqa: E402
from handover_conversion.lerobot.writer import (  # noqa: E402
    RecordedSteps,
    RecordingFormat,
    column_statistics,
    write_recordings,
)

CAMERA = "observation.images.top"
TASK = "Pick up the cube with the right arm and transfer it to the left arm."
FORM = RecordingFormat(TASK, 50, {CAMERA: (480, 640)}, "h264")
LENGTHS = (5, 3)


def reference_dataset() -> Path:
    """The recording that lerobot 0.3.3 wrote, which lies beside the repository or is named."""
    default = Path(__file__).parents[4] / "shared/datasets/aloha_sim_transfer_cube_v21"
    folder = Path(os.environ.get("HANDOVER_LEROBOT_V21", default))
    if not (folder / "meta/info.json").is_file():
        pytest.skip(f"no LeRobot v2.1 dataset at {folder}; HANDOVER_LEROBOT_V21 names one")
    return folder


def moving_square(step: int) -> np.ndarray:
    frame = np.full((480, 640, 3), 40, np.uint8)
    frame[200:280, 40 * step : 40 * step + 80] = (200, 60, 20)
    return frame


def film(codec: str, length: int) -> VideoRecorder:
    with VideoRecorder(codec, fps=50, height=480, width=640, length=length) as recorder:
        for step in range(length):
            recorder.add(moving_square(step))
    return recorder


def steps_of(index: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(index)
    return tuple(rng.normal(size=(2, length, 14)).astype(np.float32))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    episodes = []
    for index, length in enumerate(LENGTHS):
        recorder = film("h264", length)
        video = tmp_path_factory.mktemp("videos") / "episode.mp4"
        video.write_bytes(recorder.video)
        episodes.append(
            RecordedSteps(*steps_of(index, length), {CAMERA: video}, {CAMERA: recorder.statistics})
        )
    write_recordings(folder, FORM, episodes)
    return folder


def rows(folder: Path, index: int):
    return pq.read_table(folder / f"data/chunk-000/episode_{index:06d}.parquet")


def lines(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / "meta" / name).read_text().splitlines()]


def schema_of(value: object) -> object:
    """A nested value's keys, list depths and types, without its numbers and lengths."""
    if isinstance(value, dict):
        return {key: schema_of(part) for key, part in value.items()}
    if isinstance(value, list):
        return [schema_of(value[0])] if value else []
    return type(value).__name__


def test_rows_hold_what_was_recorded(dataset):
    first = 0
    for index, length in enumerate(LENGTHS):
        table = rows(dataset, index)
        state, action = steps_of(index, length)
        np.testing.assert_array_equal(table["observation.state"].to_pylist(), state)
        np.testing.assert_array_equal(table["action"].to_pylist(), action)
        assert table["next.done"].to_pylist() == [False] * (length - 1) + [True]
        assert table["index"].to_pylist() == list(range(first, first + length))
        np.testing.assert_array_equal(
            table["timestamp"].to_pylist(), (np.arange(length) / 50).astype(np.float32)
        )
        first += length


def test_statistics_are_those_of_the_rows(dataset):
    for record in lines(dataset, "episodes_stats.jsonl"):
        table = rows(dataset, record["episode_index"])
        action = np.array(table["action"].to_pylist(), np.float64)
        np.testing.assert_allclose(record["stats"]["action"]["mean"], action.mean(0))
        np.testing.assert_allclose(record["stats"]["action"]["std"], action.std(0))
        np.testing.assert_array_equal(record["stats"]["action"]["max"], action.max(0))
        assert record["stats"]["action"]["count"] == [len(action)]


def test_a_columns_statistics_are_the_hand_computed_ones():
    assert column_statistics(np.array([False, True, True, False])) == {
        "min": [False],
        "max": [True],
        "mean": [0.5],
        "std": [0.5],
        "count": [4],
    }


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_a_frame_comes_back_in_its_place(codec):
    recorder = film(codec, 6)
    container = av.open(io.BytesIO(recorder.video))
    frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6
    for step, frame in enumerate(frames):
        error = frame.astype(float) - moving_square(step)
        assert np.sqrt((error**2).mean()) < 4  # another step's frame is 40 levels away
    assert container.streams.video[0].average_rate == 50


def test_every_second_frame_is_a_key_frame():
    container = av.open(io.BytesIO(film("h264", 6).video))
    packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    assert [packet.is_keyframe for packet in packets] == [True, False] * 3


def test_pixel_statistics_are_of_one_channel_each():
    statistics = film("h264", 4).statistics
    assert np.shape(statistics["mean"]) == (3, 1, 1)
    assert np.ravel(statistics["max"]).tolist() == [200 / 255, 60 / 255, 40 / 255]
    assert np.ravel(statistics["min"]).tolist() == [40 / 255, 40 / 255, 20 / 255]
    assert statistics["count"] == [4]


def test_a_frame_of_another_shape_is_refused():
    recorder = VideoRecorder("h264", fps=50, height=480, width=640, length=1)
    with pytest.raises(ValueError, match="480, 640, 3"):
        recorder.add(np.zeros((256, 256, 3), np.uint8))


def test_metadata_has_the_keys_and_types_that_lerobot_writes(dataset):
    reference = reference_dataset()
    for name in ("episodes_stats.jsonl", "episodes.jsonl", "tasks.jsonl"):
        assert schema_of(lines(dataset, name)[0]) == schema_of(lines(reference, name)[0])
    ours, theirs = (
        json.loads((folder / "meta/info.json").read_text()) for folder in (dataset, reference)
    )
    assert schema_of(ours) == schema_of(theirs)
    theirs["features"][CAMERA]["info"]["video.codec"] = "h264"
    assert ours["features"] == theirs["features"]
    assert list(ours["features"]) == list(theirs["features"])
    for key in ("codebase_version", "robot_type", "fps", "data_path", "video_path", "chunks_size"):
        assert ours[key] == theirs[key]


def test_parquet_schema_is_lerobots(dataset):
    ours, theirs = rows(dataset, 0).schema, rows(reference_dataset(), 0).schema
    assert ours.equals(theirs)
    assert json.loads(ours.metadata[b"huggingface"]) == json.loads(theirs.metadata[b"huggingface"])


def test_our_reader_takes_the_recordings(dataset):
    from handover_conversion import describe_source, open_recordings

    recordings = open_recordings(describe_source(dataset))
    assert [episode.length for episode in recordings.episodes] == list(LENGTHS)
    assert recordings.tasks == {0: TASK}
    assert not recordings.faults
