"""Every fault is found, named with file and episode, all at once; the rest can be converted."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset

LENGTHS = (40,) * 12


def _video(root, episode):
    return root / f"videos/chunk-000/observation.images.top/episode_{episode:06d}.mp4"


def _rows(root, episode):
    return root / f"data/chunk-000/episode_{episode:06d}.parquet"


def _change_rows(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def _replaced(table, name, column):
    return table.set_column(table.schema.get_field_index(name), name, column)


def _with_nan(table):
    action = np.stack(table.column("action").to_pylist())
    action[[7, 8], 3] = np.nan
    return _replaced(table, "action", pa.array(list(action.astype(np.float32))))


def _narrow(table):
    state = np.stack(table.column("observation.state").to_pylist())[:, :13]
    return _replaced(table, "observation.state", pa.array(list(state.astype(np.float32))))


def _slower(table):
    return _replaced(table, "timestamp", pa.array((np.arange(40) / 30).astype(np.float32)))


def test_frames_of_another_size_are_found(record, convert):
    root = record(lengths=(40, 40))
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["observation.images.top"]["shape"] = [3, 24, 32]
    (root / "meta/info.json").write_text(json.dumps(info))
    expected = r"frames are \(height, width\) \(48, 64\), expected \(24, 32\)"
    with pytest.raises(DatasetError, match=expected):
        convert(root)


def test_a_bad_line_of_the_old_statistics_is_told_and_costs_no_episode(record, convert):
    root = record(lengths=(40, 40))
    lines = '{"episode_index": 0, "stats": {}}\n{"episode_index": 1, "st'
    (root / "meta/episodes_stats.jsonl").write_text(lines)
    with pytest.raises(DatasetError, match=r"episodes_stats\.jsonl: line 2 is not JSON"):
        convert(root)
    assert len(GrootDataset.open(convert(root, skip_bad=True)).episodes) == 2


@pytest.fixture
def broken(record, draw_video):
    """Break ten of twelve episodes, each in another way; 0 and 11 are good."""
    root = record(lengths=LENGTHS)
    whole = _video(root, 1).read_bytes()
    _video(root, 1).write_bytes(whole[: whole.index(b"moov") // 2])  # its index is at the end
    _video(root, 2).unlink()
    draw_video(_video(root, 3), range(37))
    _change_rows(_rows(root, 4), _with_nan)
    _change_rows(_rows(root, 5), lambda table: table.drop_columns(["action"]))
    lines = (root / "meta/episodes.jsonl").read_text().splitlines()
    lines[6] = lines[6][:20]
    (root / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    _change_rows(_rows(root, 7), _narrow)
    _change_rows(_rows(root, 8), _slower)
    draw_video(_video(root, 9), range(40), fps=30)
    _rows(root, 10).write_bytes(b"PAR1 and no more")
    return root


EXPECTED = [
    "meta/episodes.jsonl: line 7 is not JSON",
    "episode 1: videos/chunk-000/observation.images.top/episode_000001.mp4: the video cannot be",
    "episode 2: videos/chunk-000/observation.images.top/episode_000002.mp4: the file is missing",
    "episode 3: videos/chunk-000/observation.images.top/episode_000003.mp4: "
    "the video has 37 frames, expected 40",
    "episode 4: data/chunk-000/episode_000004.parquet: action: NaN or infinite in row 7, 8",
    "episode 5: data/chunk-000/episode_000005.parquet: has no column 'action'",
    "episode 6: meta/episodes.jsonl: not listed",
    "episode 7: data/chunk-000/episode_000007.parquet: observation.state: is 13 wide, expected 14",
    "episode 8: data/chunk-000/episode_000008.parquet: timestamps run at 30 Hz"
    ", expected the dataset's 50",
    "episode 9: videos/chunk-000/observation.images.top/episode_000009.mp4: "
    "the video has 30 frames/s, expected the dataset's 50",
    "episode 10: data/chunk-000/episode_000010.parquet: cannot be read",
]


def test_every_fault_is_named_with_file_and_episode(broken, convert, tmp_path):
    with pytest.raises(DatasetError) as raised:
        convert(broken)
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == len(EXPECTED)
    for line, expected in zip(lines, EXPECTED, strict=True):
        assert expected in line
    assert raised.value.lines()[1:] == lines  # the command prints them so
    assert not (tmp_path / "converted").exists()


def test_skip_bad_converts_the_rest_and_lists_what_was_left_out(broken, convert, capsys):
    output = convert(broken, skip_bad=True)
    assert not [one for one in check_dataset(output) if one.severity == "fault"]
    dataset = GrootDataset.open(output)
    assert [entry.index for entry in dataset.episodes] == [0, 1]
    made = dataset.conversion
    assert [entry["source_episode_index"] for entry in made["episodes"]] == [0, 11]
    assert {fault["source_episode_index"] for fault in made["left_out"]} == {None, *range(1, 11)}
    printed = capsys.readouterr().out
    assert all(expected in printed for expected in EXPECTED)


def test_skip_bad_goes_on_from_the_run_that_found_the_faults(broken, convert, contents, capsys):
    at_once = contents(convert(broken, "at_once", skip_bad=True))
    with pytest.raises(DatasetError):
        convert(broken)
    capsys.readouterr()
    output = convert(broken, skip_bad=True)
    assert "2 episodes were finished before" in capsys.readouterr().out
    assert contents(output) == at_once


def test_two_faults_of_one_episode_are_both_told(record, convert):
    root = record(lengths=(40, 40))
    _change_rows(_rows(root, 1), _with_nan)
    _video(root, 1).unlink()
    with pytest.raises(DatasetError, match=r"(?s)2 faults.*NaN.*missing"):
        convert(root)


def _set(name, values):
    return lambda table: _replaced(table, name, pa.array(values))


BAD_ROWS = [
    (lambda table: table.slice(0, 39), "has 39 rows, expected 40"),
    (_set("task_index", [0] * 38 + [5, 7]), r"task_index \[5, 7\] has no text"),
    (_set("task_index", [0.5] * 40), "task_index: expected integers, got double"),
    (_set("frame_index", [None, *range(1, 40)]), "frame_index: expected integers, got int64"),
    (_set("timestamp", [None, *np.arange(1, 40) / 50]), "timestamp: 1 rows are null"),
    (_set("action", ["up"] * 40), "action: is string, expected lists of 14 numbers"),
    (_set("action", [["up"] * 14] * 40), "action: holds string, expected float32"),
    (_set("frame_index", [*range(39), 40]), "frame_index does not count 0, 1, 2 … in row 39$"),
    (_set("frame_index", range(1, 41)), r"in row 0, 1, 2, 3, 4 … \(40 in total\)"),
    (_set("episode_index", [0] * 40), r"episode_index is \[0\], expected 1"),
    (_set("episode_index", [1] * 39 + [2]), r"episode_index is \[1, 2\], expected 1"),
    (None, "the file is missing"),
]


@pytest.mark.parametrize(("change", "expected"), BAD_ROWS)
def test_rows_that_are_not_as_all_should_be_are_named(record, convert, change, expected):
    root = record(lengths=(40, 40))
    if change is None:
        _rows(root, 1).unlink()
    else:
        _change_rows(_rows(root, 1), change)
    with pytest.raises(DatasetError, match=rf"1 faults.*\n  episode 1: data/\S+: .*{expected}"):
        convert(root)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [(0, 40), (1, 40), (0, 40)],
            "episode 0: meta/episodes.jsonl: the episode is listed twice",
        ),
        ([(0, 40), (1, 0)], "episode 1: meta/episodes.jsonl: has length 0, expected at least 1"),
    ],
)
def test_a_list_that_names_no_whole_episodes_is_told(record, convert, lines, expected):
    root = record(lengths=(40, 40))
    told = [{"episode_index": index, "length": length, "tasks": []} for index, length in lines]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    with pytest.raises(DatasetError, match=f"1 faults(?s:.*){expected}"):
        convert(root)


def _change_places(root, change):
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows), path)


KEY = "videos/observation.images.top"


def _overlapping_rows(rows):
    rows[1]["dataset_from_index"] -= 5
    rows[1]["dataset_to_index"] -= 5


def _overlapping_frames(rows):
    rows[1][f"{KEY}/from_timestamp"] -= 0.2
    rows[1][f"{KEY}/to_timestamp"] -= 0.2


def _inconsistent(rows):
    rows[2]["length"] = 41


def _listed_twice(rows):
    rows.append(rows[2] | {"dataset_from_index": 120, "dataset_to_index": 160})
    rows[3] |= {f"{KEY}/from_timestamp": 2.4, f"{KEY}/to_timestamp": 3.2}


def _without_a_place(rows):
    rows[2]["data/file_index"] = None


@pytest.mark.parametrize(
    ("change", "expected", "bad"),
    [
        (_overlapping_rows, r"episode 1: \S+: its rows 35–75 overlap 0–40 of episode 0", {0, 1}),
        (_overlapping_frames, r"episode 1: \S+: its frames 30–70 overlap", {0, 1}),
        (_inconsistent, r"episode 2: \S+: its row offsets span 40 rows, its length is 41", {2}),
        (_listed_twice, r"episode 2: \S+: the episode is listed twice", {2}),
        (_without_a_place, r"1 faults.*\n  episode 2: \S+: has no data/file_index", {2}),
    ],
)
def test_offsets_that_do_not_fit_are_found(record, convert, change, expected, bad):
    root = record(version="v3.0", lengths=(40, 40, 40))
    _change_places(root, change)
    with pytest.raises(DatasetError, match=expected):
        convert(root)
    made = GrootDataset.open(convert(root, skip_bad=True)).conversion
    kept = [entry["source_episode_index"] for entry in made["episodes"]]
    assert kept == [index for index in range(3) if index not in bad]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("length", "forty", "length holds string, expected numbers"),
        ("dataset_from_index", 0.5, "dataset_from_index holds double, expected numbers"),
        (f"{KEY}/from_timestamp", float("nan"), "3 faults.*its video offsets span nan frames"),
    ],
)
def test_offsets_that_are_no_numbers_are_found(record, convert, column, value, expected):
    root = record(version="v3.0", lengths=(40, 40, 40))
    _change_places(root, lambda rows: [row.update({column: value}) for row in rows])
    with pytest.raises(DatasetError, match=f"(?s){expected}"):
        convert(root)


def test_a_shared_file_without_episodes_numbers_is_named(record, convert):
    root = record(version="v3.0", lengths=(40, 40))
    path = root / "data/chunk-000/file-000.parquet"
    _change_rows(path, lambda t: _replaced(t, "episode_index", pa.array(["0"] * 80)))
    with pytest.raises(DatasetError, match=r"episode 1: data/\S+: episode_index: holds string"):
        convert(root)


def test_faults_within_a_shared_file_are_each_episodes_own(record, convert):
    root = record(version="v3.0", lengths=(40, 40, 40))
    path = root / "data/chunk-000/file-000.parquet"

    def change(table):
        action = np.stack(table.column("action").to_pylist()).astype(np.float32)
        action[47] = np.nan
        return _replaced(table, "action", pa.array(list(action)))

    _change_rows(path, change)
    with pytest.raises(DatasetError, match=r"1 faults.*\n  episode 1: data/.* in row 7$"):
        convert(root)


def test_a_shared_video_cut_short_fails_only_its_last_episodes(record, draw_video, convert):
    root = record(version="v3.0", lengths=(40, 40, 40))
    numbers = [number for _ in range(3) for number in range(40)][:100]
    draw_video(root / f"{KEY}/chunk-000/file-000.mp4", numbers)
    with pytest.raises(DatasetError, match=r"1 faults.*\n  episode 2: .*20 frames, expected 40"):
        convert(root)


def test_nothing_but_faults_is_an_error_even_with_skip_bad(record, convert):
    root = record(lengths=(40,))
    _video(root, 0).unlink()
    with pytest.raises(DatasetError, match="no episode is without faults"):
        convert(root, skip_bad=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(codebase_version="v1.6"), "expected one of v2.0, v2.1, v3.0"),
        (lambda info: info.pop("fps"), "expected fps above 0"),
        (lambda info: info.pop("features"), "'features' is missing"),
        (lambda info: info.update(data_path="data/{wrong}"), "cannot be used"),
        (lambda info: info["features"].pop("action"), "describes no 'action'"),
        (
            lambda info: info["features"]["action"].update(shape=[7]),
            "action is 7 wide, embodiment 'aloha' expects 14",
        ),
    ],
)
def test_unusable_metadata_is_one_clear_line(record, convert, change, message):
    root = record(lengths=(40,))
    info = json.loads((root / "meta/info.json").read_text())
    change(info)
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=message) as raised:
        convert(root)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_no_dataset_is_told(convert, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"has no meta/info\.json"):
        convert(tmp_path / "empty")
    shutil.rmtree(tmp_path / "empty")
