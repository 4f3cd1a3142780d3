"""A page shows videos of its run's folder, and no other file of the machine that makes it."""

import base64
import os

import pytest
from handover_client.report.videos import embed_videos
from handover_client.report.views import read_views
from handover_common.files import file_within

SECRET = b"not for a page"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    folder = tmp_path / "run"
    (folder / "videos").mkdir(parents=True)
    (folder / "videos/0.mp4").write_bytes(b"film")
    (folder / "videos/link.mp4").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "videos/pipe.mp4")
    return folder


def episodes(*names):
    return [{"video": name, "success": False} for name in names]


def test_only_files_of_the_run_are_embedded(run, tmp_path):
    names = ["videos/0.mp4", "../secret", str(tmp_path / "secret"), "videos/link.mp4"]
    names += ["videos/pipe.mp4", "videos", "videos/0.mp4\0", "x" * 5000]
    found = embed_videos(run, episodes(*names))
    ((episode, source),) = found.shown
    assert episode["video"] == "videos/0.mp4"
    assert source == "data:video/mp4;base64," + base64.b64encode(b"film").decode()
    assert found.lost == len(names) - 1


def test_views_do_not_follow_links_out_of_the_run(run, tmp_path):
    (run / "views/3").mkdir(parents=True)
    (run / "views/3/top.mp4").write_bytes(b"film")
    (run / "views/3/secret.mp4").symlink_to(tmp_path / "secret")
    assert [camera.name for camera in read_views(run, 3, 10**6)] == ["top"]
    (tmp_path / "stolen.mp4").write_bytes(SECRET)
    assert read_views(run, "../..", 10**6) == []


@pytest.mark.parametrize("name", [None, 3, ["videos/0.mp4"]])
def test_what_is_no_name_is_no_file(run, name):
    assert file_within(run, name) is None
