"""`handover view`: any layout, every camera at its time, and pairs as the dataset states them."""

import json

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs the extra replay")
pytest.importorskip("jinja2")

from handover_client.commands import main as cli
from handover_client.report import view as report
from handover_client.report.episodes import thinned
from handover_client.view.config import named_episodes
from handover_client.view.content import gather, idle_shares
from handover_client.view.recordings import Recordings
from handover_client.view.video import film_rows
from handover_common import UsageError

from ..report.pages import Page, foreign_addresses
from .datasets import FPS, TASKS, brightness, states, write, write_v2, write_v3

TOP, WRIST = "observation.images.top", "observation.images.wrist"


@pytest.fixture(scope="module")
def v2(tmp_path_factory):
    """Episodes 0, 2 and 5, as after deletions; two cameras of different sizes."""
    root = tmp_path_factory.mktemp("v2") / "some arm"
    return write_v2(root, {0: 12, 2: 20, 5: 12}, {TOP: (48, 64), WRIST: (32, 32)})


@pytest.fixture(scope="module")
def v3(tmp_path_factory):
    return write_v3(tmp_path_factory.mktemp("v3") / "shared", {0: 12, 1: 20}, TOP, WRIST)


def test_rows_are_paired_by_the_names_of_the_values(v2):
    recordings = Recordings.open(v2)
    rows = recordings.read_rows(recordings.dataset.entry(2))
    (group,) = recordings.groups
    assert [value.name for value in group.values] == ["waist", "gripper"]
    np.testing.assert_allclose(rows.state[group.name], states(2, 20), atol=1e-6)
    np.testing.assert_allclose(rows.action[group.name], states(2, 20) + 0.5, atol=1e-6)
    assert rows.task == TASKS[0]


def test_an_action_that_the_state_lacks_stands_alone(v2, tmp_path):
    info = json.loads((v2 / "meta/info.json").read_text())
    info["features"]["action"]["names"] = ["gripper", "base"]
    root = copy_meta(v2, tmp_path)
    write(root, "meta/info.json", info)
    values = {value.name: value for value in Recordings.open(root).groups[0].values}
    assert values["gripper"].state == ("observation.state", 1)
    assert values["gripper"].action == ("action", 0)
    assert values["base"].state is None
    assert values["waist"].action is None


def test_the_groups_of_a_modality_file_are_drawn_apart(v2, tmp_path):
    root = copy_meta(v2, tmp_path)
    parts = {"arm": {"start": 0, "end": 1}, "hand": {"start": 1, "end": 2}}
    modality = {"state": parts, "action": parts, "video": {"eye": {"original_key": TOP}}}
    write(root, "meta/modality.json", modality)
    recordings = Recordings.open(root)
    assert [(group.name, group.values[0].name) for group in recordings.groups] == [
        ("arm", "waist"),
        ("hand", "gripper"),
    ]
    assert recordings.dataset.cameras == ("eye",)
    assert recordings.hidden_cameras == (WRIST,)
    parts["hand"]["end"] = 3
    write(root, "meta/modality.json", modality)
    assert cli.run(["view", str(root), "--output", str(tmp_path / "page.html")]) == 1
    assert not (tmp_path / "page.html").exists()


def test_frames_are_those_of_their_rows_in_a_file_that_episodes_share(v3):
    recordings = Recordings.open(v3)
    for camera in ("top", "wrist"):
        seen = recordings.dataset.read_frames(1, camera, [0, 7, 19])
        levels = [float(frame.mean()) for frame in seen]
        np.testing.assert_allclose(levels, [brightness(step) for step in (0, 7, 19)], atol=3)


def test_a_films_frames_keep_the_time_of_their_rows():
    rows, fps = film_rows(101, 50.0)
    assert rows[1] - rows[0] == 4
    assert all(abs(place / fps - row / 50.0) < 1e-9 for place, row in enumerate(rows))
    assert film_rows(3, 10.0) == ([0, 1, 2], 10)


def test_a_page_shows_every_camera_and_believes_no_text(v2, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.run(["view", str(v2), "--output", str(page), "--episodes", "0", "2-2", "5"]) == 0
    assert f"page: {page}" in capsys.readouterr().out
    text = page.read_text()
    assert foreign_addresses(text) == []
    parsed = Page(text)
    assert len(parsed.named("video")) == 3 * 2
    assert [each["href"] for each in parsed.named("a")] == [
        "#episode-0",
        "#episode-2",
        "#episode-5",
    ]
    for words in ("some arm", "44 steps at 30 Hz", TASKS[1], "idle steps", "2 cameras: top, wrist"):
        assert words in parsed.text
    assert "constant: gripper" not in parsed.text  # its state and its action are 0.5 apart


def test_a_bad_episode_hides_no_other_and_is_told(v2, tmp_path, capsys):
    root = copy_all(v2, tmp_path)
    (root / "data/chunk-000/episode_000002.parquet").write_bytes(b"version https://git-lfs")
    (root / f"videos/chunk-000/{TOP}/episode_000005.mp4").unlink()
    page = tmp_path / "page.html"
    assert cli.run(["view", str(root), "--output", str(page)]) == 0
    parsed = Page(page.read_text())
    assert "episode_000002.parquet cannot be read" in parsed.text
    assert "the file is missing" in parsed.text
    assert len(parsed.named("video")) == 3 * 2 - 1


def test_videos_beyond_the_bound_are_left_out_and_named(v2, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MOST_VIDEO_BYTES", 1500)
    page = tmp_path / "page.html"
    assert cli.run(["view", str(v2), "--output", str(page)]) == 0
    parsed = Page(page.read_text())
    assert len(parsed.named("video")) < 6
    assert "left out: the page has no room for more videos" in parsed.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--episodes", "1"], "has no episode 1; it has: 0, 2, 5"),
        (["--episodes", "5-2"], "expected a number, or a range"),
        (["--episodes", "0-99999999"], "more than 10000"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_no_page(v2, tmp_path, capsys, words, said):
    page = tmp_path / "page.html"
    assert cli.run(["view", str(v2), "--output", str(page), *words]) in (1, 2)
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not page.exists()


def test_a_folder_that_is_no_dataset_is_one_line(tmp_path, capsys):
    assert cli.run(["view", str(tmp_path), "--output", str(tmp_path / "page.html")]) == 1
    assert "has no meta/info.json" in capsys.readouterr().err


def test_episodes_are_named_by_numbers_and_ranges_each_once():
    assert named_episodes(("5-7", "0", "6")) == (5, 6, 7, 0)
    with pytest.raises(UsageError):
        named_episodes(("-1",))


def test_idle_is_the_share_of_steps_in_which_nothing_moves():
    moving = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 5.0]])
    still = np.zeros((5, 2))
    assert idle_shares([moving, still]) == (pytest.approx(1 / 3), 1.0)
    assert idle_shares([np.zeros((1, 2))]) == ()


def test_a_long_episodes_peaks_stay_in_its_curve():
    values = np.zeros(10_000)
    values[1234], values[7777] = 3.0, -2.0
    steps, kept = thinned(values, 600)
    assert len(kept) <= 600
    assert (kept.max(), kept.min()) == (3.0, -2.0)
    assert (np.diff(steps) > 0).all()


def test_half_an_hour_of_many_episodes_is_sampled_evenly(v2):
    view = gather(Recordings.open(v2), [2])
    assert [shown.entry.index for shown in view.shown] == [2]
    assert view.read == 3
    assert dict(view.tasks) == {TASKS[0]: 2, TASKS[1]: 1}
    assert view.steps / FPS == pytest.approx(44 / 30)


def copy_meta(source, folder):
    root = folder / "copy"
    (root / "meta").mkdir(parents=True)
    for path in (source / "meta").iterdir():
        (root / "meta" / path.name).write_bytes(path.read_bytes())
    return root


def copy_all(source, folder):
    root = copy_meta(source, folder)
    for path in source.rglob("*.*"):
        if path.is_file():
            target = root / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return root
