"""Each camera's view beside a replay's joints: any number of cameras, at the steps' own times."""

import json

import av
import numpy as np
import pytest

pytest.importorskip("jinja2", reason="reports need the extra replay")

from handover_client.report import replay as section
from handover_client.report.page import write_report
from handover_client.report.views import write_views

from .made_up import make_replay, replay_of
from .pages import Page, foreign_addresses

SIZES = {"top": (48, 64), "left/wrist": (32, 32), "<b>low</b>": (400, 800)}


class Cameras:
    """A dataset of three cameras; a frame's brightness is its row."""

    fps = 20.0
    cameras = tuple(SIZES)

    def read_frames(self, index, camera, rows=None):
        for row in rows:
            yield np.full((*SIZES[camera], 3), 40 + 5 * row, np.uint8)


@pytest.fixture
def run(tmp_path):
    make_replay(tmp_path / "run")
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    write_views(tmp_path / "run", replay_of(Cameras()), figures)
    write_report(tmp_path / "run", figures)
    return tmp_path / "run"


def test_every_camera_is_beside_the_joints_of_every_episode(run):
    text = (run / "report.html").read_text()
    page = Page(text)
    assert len(page.named("video")) == 2 * len(SIZES)
    for camera in SIZES:
        assert camera in page.text
    assert foreign_addresses(text) == []


def test_a_views_frames_have_the_times_of_their_steps_and_their_shape(run):
    (path,) = (run / "views/0").glob("*low*.mp4")
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(0, 40, 2) / 20)
    levels = [float(frame.to_ndarray(format="rgb24").mean()) for frame in frames]
    assert levels == pytest.approx([40 + 5 * row for row in range(0, 40, 2)], abs=4)
    assert (frames[0].height, frames[0].width) == (200, 400)


def test_a_policy_whose_chunk_begins_later_is_filmed_from_there(run):
    figures = json.loads((run / "metrics.json").read_text())
    write_views(run, replay_of(Cameras(), first_step=1), figures)
    (path,) = (run / "views/0").glob("*low*.mp4")
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert float(first.mean()) == pytest.approx(45, abs=3)  # of row 1


def test_views_beyond_the_pages_bound_are_named(run, monkeypatch):
    monkeypatch.setattr(section, "MOST_BYTES", 0)
    write_report(run, json.loads((run / "metrics.json").read_text()))
    page = Page((run / "report.html").read_text())
    assert page.named("video") == []
    assert "left out of the page; it is views/0" in page.text


def test_units_are_on_an_axis_where_the_server_states_them_and_else_nowhere(run):
    assert "left waist, rad" in Page((run / "report.html").read_text()).text
    figures = json.loads((run / "metrics.json").read_text())
    for part in figures["parts"].values():
        part["units"] = [""] * len(part["values"])
    write_report(run, figures)
    text = Page((run / "report.html").read_text()).text
    assert "left waist" in text
    assert "rad" not in text.replace("gradient", "")
    assert "the server states no units" in text
