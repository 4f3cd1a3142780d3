"""Datasets made to harm: no file outside is opened, nothing hangs, one clear line is told."""

import json
import os
import shutil
from pathlib import Path

import pytest
from handover_common.errors import HandoverError
from handover_conversion.check.run import check_dataset
from handover_conversion.errors import DatasetError
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.lerobot.open import describe_lerobot, open_lerobot
from handover_conversion.locations import fill_pattern, regular_file

from ...groot_datasets import two_arms

FIELDS = {"episode_chunk": 0, "episode_index": 7, "video_key": "top"}


def test_documented_patterns_are_filled():
    pattern = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    assert fill_pattern(pattern, FIELDS) == "videos/chunk-000/top/episode_000007.mp4"
    assert fill_pattern("{episode_index}", FIELDS) == "7"


PATTERNS = [
    "{episode_index.__class__}",
    "{episode_index.__class__.__mro__}",
    "{video_key[0]}",
    "{0}",
    "{}",
    "{secret}",
    "{episode_index!r}",
    "{episode_index:>999999999d}",
    "{episode_index:0999999999d}",
    "{episode_index:{episode_chunk}}",
    "{video_key:>999999999}",
    "/etc/passwd",
    "../../{episode_index}",
    "data/../../{episode_index}.parquet",
    "data\\..\\{episode_index}",
    "data/\0{episode_index}",
    "{episode_index",
    "",
    None,
    ["data"],
    "a" * 5000,
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_other_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match=r"."):
        fill_pattern(pattern, FIELDS)


def test_a_name_cannot_lead_out_through_a_field():
    with pytest.raises(ValueError, match="inside the dataset's folder"):
        fill_pattern("videos/{video_key}/x.mp4", {**FIELDS, "video_key": "../../.."})


@pytest.fixture
def folder(tmp_path):
    return two_arms().make(tmp_path / "made")


ROWS = "data/chunk-000/episode_000001.parquet"
VIDEO = "videos/chunk-000/observation.images.cam_high/episode_000001.mp4"
FILES = ["meta/info.json", "meta/episodes.jsonl", "meta/tasks.jsonl", "meta/modality.json"]


@pytest.mark.parametrize("name", [*FILES, ROWS, VIDEO])
@pytest.mark.parametrize("kind", ["fifo", "device", "elsewhere", "circle", "folder"])
def test_what_is_no_regular_file_inside_is_never_opened(folder, tmp_path, name, kind):
    path = folder / name
    outside = shutil.move(path, tmp_path / "outside")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        target = {"device": "/dev/zero", "elsewhere": outside, "circle": path}[kind]
        path.symlink_to(target)
    faults = [one for one in check_dataset(folder) if one.severity == "fault"]
    assert len(faults) == 1
    if name in (ROWS, VIDEO):
        assert faults[0].episode == 1
        # as a training asks first
        assert len(GrootDataset.open(folder).content_hash()) == 64


def test_the_links_of_a_hub_cache_are_followed(folder, tmp_path):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            blob = blobs / f"{count:064x}"
            path.rename(blob)
            path.symlink_to(os.path.relpath(blob, path.parent))
    assert not [one for one in check_dataset(folder) if one.severity == "fault"]
    other = tmp_path / "blobs.txt"
    other.write_text("of somebody else")
    (folder / "data/more").symlink_to(other)
    with pytest.raises(DatasetError, match="is a link out of the dataset's folder"):
        regular_file(folder, "data/more")


JSON = [
    ("meta/info.json", "[" * 100_000),
    ("meta/info.json", '{"a":' * 100_000),
    ("meta/modality.json", '{"state":' * 100_000),
    ("meta/tasks.jsonl", "[" * 100_000 + "\n"),
    ("meta/episodes.jsonl", '{"episode_index": ' + "9" * 5000 + ', "length": 1}\n'),
    ("meta/episodes.jsonl", '{"episode_index": 1e400, "length": 1}\n'),
    ("meta/episodes.jsonl", '{"episode_index": 0, "length": 1000000000000}\n'),
    ("meta/episodes.jsonl", '{"episode_index": 99999999999, "length": 3}\n'),
    ("meta/info.json", "\x00\xff"),
]


@pytest.mark.parametrize(("name", "content"), JSON)
def test_json_made_to_harm_is_told_in_clear_lines(folder, name, content):
    (folder / name).write_text(content, encoding="latin-1")
    faults = [one for one in check_dataset(folder) if one.severity == "fault"]
    assert faults
    assert all("\n" not in str(one) and len(str(one)) < 1000 for one in faults)


INFO = [
    {"fps": float("inf")},
    {"fps": 1e300},
    {"chunks_size": -1},
    {"chunks_size": True},
    {"data_path": "{episode_index.__class__}"},
    {"data_path": "data/same.parquet"},
    {"video_path": "/dev/zero"},
    {"features": {"observation.state": {"dtype": "float32", "shape": "x"}}},
]


@pytest.mark.parametrize("change", INFO, ids=lambda change: str(change)[:40])
def test_numbers_and_patterns_out_of_bounds_are_faults(folder, change):
    path = folder / "meta/info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | change))
    assert any(one.severity == "fault" for one in check_dataset(folder))


def test_a_million_times_more_episodes_than_there_are_cost_nothing(tmp_path):
    made = two_arms(modality={}, info={"total_episodes": 10**9})
    folder = made.make(tmp_path / "made")
    recordings = open_lerobot(describe_lerobot(folder), ["observation.images.cam_high"])
    assert [str(one) for one in recordings.faults] == [
        "meta/episodes.jsonl: lists 2 episodes of 1000000000 in info.json"
    ]
    assert not [one for one in check_dataset(folder) if one.severity == "fault"]


GROUPS = [
    {"start": 0, "end": 10**12},
    {"start": -1, "end": 2},
    {"start": 0.5, "end": 2},
    {"start": 0},
    ["start"],
    {"start": 0, "end": 1, "original_key": 7},
]


@pytest.mark.parametrize("part", GROUPS)
def test_groups_out_of_bounds_are_one_clear_line(folder, part):
    path = folder / "meta/modality.json"
    modality = json.loads(path.read_text())
    modality["state"]["arm"] = part
    path.write_text(json.dumps(modality))
    with pytest.raises(HandoverError, match=r"modality\.json: state is not usable"):
        GrootDataset.open(folder)


@pytest.mark.parametrize("name", [ROWS, VIDEO, "meta/tasks.jsonl"])
def test_git_lfs_pointers_are_named_as_such(folder, name):
    oid = f"oid sha256:{0:064x}\nsize 12345\n"
    (folder / name).write_text(f"version https://git-lfs.github.com/spec/v1\n{oid}")
    (one,) = (one for one in check_dataset(folder) if one.severity == "fault")
    assert one.text == (
        f"1 files are Git LFS pointers, not the files themselves ({name}): run git lfs pull in "
        "the repository"
    )


def test_a_conversion_follows_no_link_out_either(tmp_path):
    folder = two_arms(modality={}).make(tmp_path / "made")
    for name in (ROWS, VIDEO):
        outside = tmp_path / f"outside{(folder / name).suffix}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
    recordings = open_lerobot(describe_lerobot(folder), ["observation.images.cam_high"])
    told = [str(one) for one in recordings.faults]
    link = "is a link out of the dataset's folder"
    assert told == [f"episode 1: {ROWS}: {link}", f"episode 1: {VIDEO}: {link}"]


def test_names_are_told_whole_where_the_folder_is_named_like_one_of_its_own(tmp_path, monkeypatch):
    folder = two_arms().make(tmp_path / "data")
    (folder / ROWS).unlink()
    monkeypatch.chdir(tmp_path)
    (one,) = (one for one in check_dataset(Path("data")) if one.severity == "fault")
    assert one.text == f"{ROWS}: the file is missing"
