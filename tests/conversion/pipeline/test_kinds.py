"""Recordings as people have them: their times, storage, numbers, words and lengths."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_common import UsageError
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.findings import EMPTY_INSTRUCTION
from handover_conversion.groot.dataset import GrootDataset

from .. import sources

TOP = "observation.images.top"
SMALL = {"image_size": 32, "horizon": 4}


def _episodes(*lengths, width=14, fps=50, **others):
    return {
        index: {
            "observation.state": sources.smooth(length, width, fps),
            "action": sources.smooth(length, width, fps) + np.float32(0.5),
            **{name: make(length) for name, make in others.items()},
        }
        for index, length in enumerate(lengths)
    }


def _converted(output, episode=0, camera="ego_view"):
    dataset = GrootDataset.open(output)
    faults = [str(one) for one in check_dataset(output) if one.severity == "fault"]
    assert faults == []
    rows = dataset.read_episode(episode)
    return dataset, rows, sources.numbers_of(dataset.read_frames(episode, camera))


def _record(output):
    return json.loads((output / "meta/conversion.json").read_text())


# --- times


@pytest.mark.parametrize("kind", ["offset", "nanoseconds", "lists", "float64", "none"])
def test_a_constant_rate_is_one_whatever_time_it_starts_at(tmp_path, convert, kind):
    steps = np.arange(60)
    times = {
        "offset": (steps / 50 + 12.34).astype(np.float32),
        "nanoseconds": 1_700_000_000_000_000_000 + steps * 20_000_000,
        "lists": (steps / 50).astype(np.float32)[:, None],
        "float64": 1.7e9 + steps / 50,
        "none": None,
    }[kind]
    extra = {} if times is None else {"timestamp": lambda _: times}
    without = ("timestamp", "frame_index", "index") if times is None else ()
    source = sources.write_v2(tmp_path / "source", _episodes(60, **extra), without=without)
    _, rows, numbers = _converted(convert(source, **SMALL))
    assert numbers == [k * 5 // 2 for k in range(24)]
    np.testing.assert_array_equal(rows.timestamp, (np.arange(24) / 20).astype(np.float32))


@pytest.mark.parametrize("kind", ["jitter", "drift", "gap"])
def test_measured_times_place_values_and_frames(tmp_path, convert, kind, capsys):
    generator = np.random.default_rng(0)
    time = np.arange(60) / 50
    if kind == "jitter":
        time[1:-1] += generator.uniform(-0.007, 0.007, 58)
    elif kind == "drift":
        time = np.arange(60) / 49.0
    else:
        time[30:] += 0.5
    source = sources.write_v2(tmp_path / "source", _episodes(60, timestamp=lambda _: time + 7))
    with pytest.raises(DatasetError, match=r"1 faults(?s:.*)--timestamps measured"):
        convert(source, **SMALL)
    output = convert(source, timestamps="measured", **SMALL)
    _, rows, numbers = _converted(output)
    at = np.arange(int(time[-1] * 20 + 1e-6) + 1) / 20
    assert len(rows) == len(at)
    recorded = sources.smooth(60, 14, 50)
    for column, slot in ((0, 0), (5, 5), (7, 13)):  # of ALOHA's map
        expected = np.interp(at, time, recorded[:, column])
        np.testing.assert_allclose(rows.state[:, slot], expected, atol=1e-4)
    for number, row_s in zip(numbers, at, strict=True):
        ahead = time - row_s
        allowed = np.flatnonzero(ahead <= 0.5 / 50 + 1e-9)  # none from the future
        assert abs(ahead[number]) <= np.abs(ahead[allowed]).min() + 1e-4
    told = "a gap of 0.52 s after row 29" in capsys.readouterr().out
    assert told == (kind == "gap")


def test_an_ntsc_container_has_one_frame_per_row(tmp_path, convert):
    source = sources.write_v2(
        tmp_path / "source", _episodes(75, fps=30), fps=30, video_fps=30000 / 1001
    )
    # so slow a drift is half a frame only after 500: times 20 make it in 25
    sources.write_mp4(next(source.rglob("*.mp4")), range(75), 29.75, times=None)
    _, _, numbers = _converted(convert(source, fps=30, **SMALL))
    assert numbers == list(range(75))


def test_a_variable_rate_has_one_frame_per_row(tmp_path, convert):
    from fractions import Fraction

    source = sources.write_v2(tmp_path / "source", _episodes(60))
    shifts = np.random.default_rng(1).integers(-9, 15, 60)
    times = np.maximum.accumulate(np.arange(60) * 20 + shifts) + np.arange(60)
    path = next(source.rglob("*.mp4"))
    sources.write_mp4(path, range(60), 50, times=times - times[0], tick=Fraction(1, 1000))
    _, _, numbers = _converted(convert(source, fps=50, **SMALL))
    assert numbers == list(range(60))


@pytest.mark.parametrize("frames", [58, 59, 61, 62])
def test_a_video_a_few_frames_off_is_trimmed_and_told(tmp_path, convert, frames, capsys):
    source = sources.write_v2(tmp_path / "source", _episodes(60))
    sources.write_mp4(next(source.rglob("*.mp4")), range(frames), 50)
    output = convert(source, fps=50, **SMALL)
    _, rows, numbers = _converted(output)
    assert len(rows) == min(frames, 60)
    assert numbers == list(range(min(frames, 60)))
    what = f"episode 0: {TOP} has {frames} frames for 60 rows: cut to the fewer"
    assert what in capsys.readouterr().out
    assert what in _record(output)["notes"]
    with pytest.raises(DatasetError, match=f"the video has {frames} frames, expected 60"):
        convert(source, "strict", fps=50, trim_frames=0, **SMALL)


# --- storage


def test_images_in_the_rows_are_a_camera(tmp_path, convert):
    images = {TOP: lambda n: sources.images_column(range(n))}
    source = sources.write_v2(tmp_path / "source", _episodes(60, 50, **images), cameras=())
    _, _, numbers = _converted(convert(source, **SMALL), episode=1)
    assert numbers == [k * 5 // 2 for k in range(20)]


def test_images_of_a_shared_file_are_each_episodes_own(tmp_path, record, convert):
    source = record(version="v3.0", lengths=(40, 30))
    path = source / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    images = [*sources.images_column(range(40)), *sources.images_column(range(10, 40))]
    pq.write_table(table.append_column("observation.images.hand", pa.array(images)), path)
    info = json.loads((source / "meta/info.json").read_text())
    info["features"]["observation.images.hand"] = sources.feature("image", [*sources.SIZE, 3])
    (source / "meta/info.json").write_text(json.dumps(info))
    output = convert(source, camera=("hand=observation.images.hand",), **SMALL)
    _, _, numbers = _converted(output, episode=1, camera="hand")
    assert numbers == [10 + k * 5 // 2 for k in range(12)]


@pytest.mark.parametrize("end", ["later", "earlier", "nan", "missing"])
def test_the_end_that_an_editor_left_is_told_and_not_used(
    record, convert, frame_number, end, capsys
):
    source = record(version="v3.0", lengths=(40, 30))
    path = source / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        name = f"videos/{TOP}/to_timestamp"
        if end == "missing":
            del row[name]
        else:
            row[name] = {"later": row[name] + 0.2, "earlier": 0.0, "nan": float("nan")}[end]
    pq.write_table(pa.Table.from_pylist(rows), path)
    output = convert(source, **SMALL)
    frames = GrootDataset.open(output).read_frames(1, "ego_view")
    assert [frame_number(frame) for frame in frames] == [k * 5 // 2 for k in range(12)]
    told = f"to_timestamp of {TOP}" in capsys.readouterr().out
    assert told == (end != "missing")


def test_a_groot_dataset_is_converted_by_its_own_modality(tmp_path, convert):
    modality = {
        "state": {
            "arm": {"start": 0, "end": 3, "original_key": "joints"},
            "tool": {"start": 0, "end": 2, "original_key": "observation.tool"},
        },
        "action": {"arm": {"start": 1, "end": 4}},
        "video": {"front": {"original_key": "observation.images.front_cam"}},
        "annotation": {"human.coarse_action": {"original_key": "annotation.human.coarse_action"}},
    }
    steps = {
        "joints": sources.smooth(60, 4, 50).astype(np.float64),
        "observation.tool": sources.smooth(60, 2, 50),
        "action": sources.smooth(60, 5, 50),
        "annotation.human.coarse_action": np.repeat([1, 2], 30),
    }
    source = sources.write_v2(
        tmp_path / "source",
        {0: steps},
        cameras=("observation.images.front_cam", "observation.images.side"),
        tasks=("Fine.", "Pick.", "Place."),
        modality=modality,
    )
    output = convert(source, fps=50, **SMALL)
    dataset, rows, numbers = _converted(output, camera="front")
    np.testing.assert_allclose(rows.state[:, :3], steps["joints"][:, :3], atol=1e-6)
    np.testing.assert_array_equal(rows.state[:, 3:], steps["observation.tool"])
    np.testing.assert_array_equal(rows.action, steps["action"][:, 1:4])
    assert numbers == list(range(60))
    assert set(dataset.episodes[0].tasks) == {"Fine.", "Pick.", "Place."}
    made = json.loads((output / "meta/modality.json").read_text())
    assert made["annotation"]["human.coarse_action"] == {
        "original_key": "annotation.human.coarse_action"
    }
    table = pq.read_table(output / "data/chunk-000/episode_000000.parquet")
    assert table["annotation.human.coarse_action"].to_pylist() == [1] * 30 + [2] * 30


# --- episodes and words


def test_episodes_are_chosen_by_number(tmp_path, convert):
    source = sources.write_v2(tmp_path / "source", _episodes(40, 42, 44, 46, 48))
    output = convert(source, episodes=("0", "2-3"), **SMALL)
    made = _record(output)["episodes"]
    assert [entry["source_episode_index"] for entry in made] == [0, 2, 3]
    with pytest.raises(DatasetError, match=r"no episode 9; the source has: 0, 1, 2, 3, 4"):
        convert(source, "none", episodes=("4", "9"), **SMALL)
    for wrong in ("x", "3-", "5-2", "-1", "1-2-3"):
        with pytest.raises(UsageError, match="--episodes"):
            convert(source, "none", episodes=(wrong,), **SMALL)


@pytest.mark.parametrize("column", ["success", "next.success"])
def test_episodes_without_success_are_named_and_left_out_where_asked(tmp_path, convert, column):
    def last(success):
        return lambda length: np.arange(length) == (length - 1 if success else length)

    episodes = {
        index: {**_episodes(40)[0], column: last(success)(40)}
        for index, success in enumerate((True, False, True))
    }
    source = sources.write_v2(tmp_path / "source", episodes)
    whole = convert(source, "whole", **SMALL)
    assert len(_record(whole)["episodes"]) == 3
    assert (
        "1 of 3 episodes without success: 1 (--successful leaves them out)"
        in _record(whole)["notes"]
    )
    output = convert(source, "good", successful=True, **SMALL)
    assert [entry["source_episode_index"] for entry in _record(output)["episodes"]] == [0, 2]
    assert "left out 1 of 3 episodes without success: 1" in _record(output)["notes"]
    with pytest.raises(DatasetError, match=r"no episode of .* is a success \(--successful\)"):
        convert(source, "none", episodes=("1",), successful=True, **SMALL)
    pairs = {0: {**_episodes(40)[0], column: np.ones((40, 2), np.float32)}}  # not a word of success
    with pytest.raises(DatasetError, match=r"no episode of .* is a success \(--successful\)"):
        convert(sources.write_v2(tmp_path / "pairs", pairs), "none", successful=True, **SMALL)
    plain = sources.write_v2(tmp_path / "plain", _episodes(40))
    with pytest.raises(DatasetError, match=r"no column success or next\.success: choose by"):
        convert(plain, "none", successful=True, **SMALL)


def test_indices_with_gaps_are_what_deleting_leaves(tmp_path, convert, capsys):
    episodes = _episodes(40, 42, 44)
    source = sources.write_v2(tmp_path / "a", {0: episodes[0], 2: episodes[1], 3: episodes[2]})
    _converted(convert(source, **SMALL), episode=2)
    info = json.loads((source / "meta/info.json").read_text())
    (source / "meta/info.json").write_text(json.dumps(info | {"total_episodes": 4}))
    _converted(convert(source, "b", **SMALL), episode=2)
    assert "info.json counts 4 episodes, 1 of them deleted" in capsys.readouterr().out
    shutil.copy(
        source / "data/chunk-000/episode_000000.parquet",
        source / "data/chunk-000/episode_000001.parquet",
    )
    with pytest.raises(DatasetError, match=r"episode 1: meta/episodes.jsonl: not listed, of 4"):
        convert(source, "c", **SMALL)


def test_an_empty_instruction_is_a_fault_of_its_episodes_alone(tmp_path, convert):
    tasks = {"task_index": lambda n: np.full(n, 0 if n == 40 else 1)}
    source = sources.write_v2(
        tmp_path / "source", _episodes(40, 42, **tasks), tasks=("Lift it.", "  ")
    )
    with pytest.raises(DatasetError) as raised:
        convert(source, **SMALL)
    (fault,) = str(raised.value).splitlines()[1:]
    assert fault.startswith("  episode 1: data/")
    assert EMPTY_INSTRUCTION in fault
    dataset, _, _ = _converted(
        convert(source, "filled", task="Put it down.", task_where_empty=True, **SMALL)
    )
    assert [entry.tasks for entry in dataset.episodes] == [("Lift it.",), ("Put it down.",)]
    dataset, _, _ = _converted(convert(source, "all", task="Put it down.", **SMALL))
    assert [entry.tasks for entry in dataset.episodes] == [("Put it down.",)] * 2
    assert list(dataset.tasks.values()) == ["Put it down."]


def test_still_ends_are_cut(tmp_path, convert, capsys):
    moving = np.concatenate([np.zeros(20), np.linspace(0, 1, 31), np.ones(24)])
    joints = (moving[:, None] * np.arange(1, 15)).astype(np.float32)
    source = sources.write_v2(
        tmp_path / "source", {0: {"observation.state": joints, "action": joints}}
    )
    output = convert(source, trim_idle=0.1, fps=50, **SMALL)
    _, rows, numbers = _converted(output)
    assert numbers[0] == 15
    assert numbers[-1] == 55
    np.testing.assert_array_equal(rows.state[:, 0], joints[15:56, 0])
    assert rows.timestamp[0] == 0
    assert "still for 0.3 s at its start and 0.38 s at its end: cut" in capsys.readouterr().out


def test_states_and_actions_of_other_names_and_widths_are_found(tmp_path, convert, capsys):
    steps = {"state": sources.smooth(60, 3, 50), "actions": sources.smooth(60, 5, 50)}
    source = sources.write_v2(tmp_path / "source", {0: {**steps, "effort": steps["state"]}})
    output = convert(source, robot="identity", fps=50, **SMALL)
    _, rows, _ = _converted(output)
    np.testing.assert_array_equal(rows.state, steps["state"])
    np.testing.assert_array_equal(rows.action, steps["actions"])
    assert "left out columns: effort" in capsys.readouterr().out
    with pytest.raises(DatasetError, match=r"no column 'torque' of numbers; .*state, actions, eff"):
        convert(source, "x", robot="identity", state_column="torque", **SMALL)
