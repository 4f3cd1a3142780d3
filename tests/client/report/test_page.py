"""A report is one file: it fetches nothing, believes no text that it shows, and stays small."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="reports need the extra replay")
pytest.importorskip("rich")

from handover_client.commands import main as cli
from handover_client.report import videos
from handover_client.report.charts.svg import PALETTE
from handover_client.report.page import render_runs, run_section
from handover_client.report.terminal import print_rollout

from .made_up import VIDEO, make_replay, make_rollout, provenance
from .pages import Page, foreign_addresses

HOSTILE = (
    '</title></style><script src="https://evil.example/x.js"></script>"\'&<b onclick=1>{{ 7*7 }}'
)
MOST_BYTES_OF_A_SHORT_RUN = 400_000


@pytest.fixture(scope="module", params=["replay", "rollout"])
def hostile_run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    {"replay": make_replay, "rollout": make_rollout}[request.param](folder, HOSTILE)
    return folder


def test_text_from_outside_is_shown_and_never_obeyed(hostile_run):
    page = (hostile_run / "report.html").read_text()
    assert HOSTILE in Page(page).text
    assert foreign_addresses(page) == []


@pytest.mark.parametrize("make", [make_replay, make_rollout])
def test_a_page_is_small_and_has_every_section(tmp_path, make):
    make(tmp_path / "run")
    page = (tmp_path / "run/report.html").read_text()
    assert len(page) < MOST_BYTES_OF_A_SHORT_RUN
    parsed = Page(page)
    for words in ("95\u00a0% interval", "Where the time goes", "How to repeat this", "c0ffee"):
        assert words in parsed.text
    assert [each["name"] for each in parsed.named("meta") if "name" in each] == ["viewport"]


@pytest.mark.parametrize("make", [make_replay, make_rollout])
def test_every_chart_says_what_it_shows_and_in_which_unit(tmp_path, make):
    make(tmp_path / "run")
    charts = [
        attributes
        for attributes in Page((tmp_path / "run/report.html").read_text()).named("svg")
        if (attributes.get("class") or "").startswith("chart")
    ]
    assert len(charts) >= 2
    for attributes in charts:
        spoken = attributes["aria-label"]
        y, x = spoken.rsplit(" over ", 1)
        assert re.search(r", (s|m|counted)\b|counted from 0", x), spoken
        assert re.search(r"rad|%|, m\b|0 closed", y), spoken


def test_every_role_has_a_colour_in_both_themes_and_text_can_be_read(tmp_path):
    make_rollout(tmp_path / "run")
    page = (tmp_path / "run/report.html").read_text()
    used = set(re.findall(r"var\(--([a-z]+)\)", page))
    assert used <= {*PALETTE, "rows"}
    for role in ("ink", "muted", "predicted", "hold", "mean", "good", "bad"):
        for text, ground in zip(PALETTE[role], PALETTE["page"], strict=True):  # light, dark
            # what WCAG 2.1, 1.4.3 asks of text: lines are named in their own color
            assert contrast(text, ground) >= 4.5, (role, text)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2.1 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_original_experiment_stands_beside_a_replay(tmp_path, capsys):
    make_replay(tmp_path / "run")
    original = Path(__file__).parents[3] / "benchmarks/results/original_experiment.json"
    page = tmp_path / "compare.html"
    runs = [str(original), str(tmp_path / "run")]
    assert cli.run(["compare", *runs, "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "before  the original experiment" in printed
    assert "not comparable" not in printed
    for text in (printed, Page(page.read_text()).text):
        for figure in ("0.00066", "0.01324", "64.6 %", "90.6 %", "98.6 %", "99.8 %", "2.2e-05"):
            assert figure in text
        assert "the original experiment: Its evaluated episodes were in its training set." in text
    assert cli.run(["compare", *reversed(runs)]) == 0
    assert foreign_addresses(page.read_text()) == []


def test_a_success_and_each_failure_are_embedded_and_the_rest_is_counted(tmp_path):
    make_rollout(tmp_path / "run", successes=(True, True, *[False] * 9))
    page = (tmp_path / "run/report.html").read_text()
    films = Page(page).named("video")
    assert len(films) == 1 + 9
    assert "1 more is in the folder videos" in Page(page).text


def test_large_videos_are_left_out_of_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "MOST_BYTES", 2 * len(VIDEO))
    make_rollout(tmp_path / "run", successes=(True, False, False))
    page = (tmp_path / "run/report.html").read_text()
    assert len(Page(page).named("video")) == 2
    assert "1 more is in the folder videos" in Page(page).text


def test_one_page_shows_several_runs(tmp_path, capsys):
    make_replay(tmp_path / "open", "first")
    make_rollout(tmp_path / "closed", "second")
    page = tmp_path / "pages" / "all.html"
    runs = [str(tmp_path / name) for name in ("open", "closed")]
    assert cli.run(["report", *runs, "--output", str(page)]) == 0
    assert f"page: {page}" in capsys.readouterr().out
    parsed = Page(page.read_text())
    assert [each["href"] for each in parsed.named("a")] == ["#run-1", "#run-2"]
    assert "first" in parsed.text
    assert "second" in parsed.text
    assert foreign_addresses(page.read_text()) == []


@pytest.mark.parametrize("lost", ["actions.npz", "metrics.json"])
def test_a_run_that_is_not_whole_is_one_line(tmp_path, capsys, lost):
    make_replay(tmp_path / "run")
    (tmp_path / "run" / lost).unlink()
    assert cli.run(["report", str(tmp_path / "run"), "--output", str(tmp_path / "page.html")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("command", [["report"], ["compare", "run"]])
def test_a_page_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    make_replay(Path("run"))
    page = "run/metrics.json/page.html"
    assert cli.run([*command, "run", "--output", page]) == 1
    assert capsys.readouterr().err == (
        f"handover: cannot write {page}: run/metrics.json is no folder and cannot become one "
        "(File exists)\n"
    )


def test_a_run_of_another_version_is_one_line(tmp_path, capsys):
    make_replay(tmp_path / "run")
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    del figures["parts"]["joints_14"]["columns"]
    (tmp_path / "run/metrics.json").write_text(json.dumps(figures))
    assert cli.run(["report", str(tmp_path / "run"), "--output", str(tmp_path / "page.html")]) == 1
    assert "this version cannot show" in capsys.readouterr().err


@pytest.mark.parametrize("make", [make_replay, make_rollout])
def test_a_comparison_shows_both_runs_whole_and_fetches_nothing(tmp_path, make, capsys):
    for name in ("one", "other"):
        make(tmp_path / name, f"{name} {HOSTILE}")
    page = tmp_path / "compare.html"
    runs = [str(tmp_path / name) for name in ("one", "other")]
    assert cli.run(["compare", *runs, "--output", str(page)]) == 0
    text = page.read_text()
    assert foreign_addresses(text) == []
    parsed = Page(text)
    assert "Before and after" in parsed.text
    assert parsed.text.count("How to repeat this") == 2
    assert {each.get("id") for each in parsed.named("section")} == {"before", "after"}
    for words in ("one " + HOSTILE, "other " + HOSTILE):
        assert words in parsed.text


def test_runs_whose_folders_hold_figures_alone_are_compared_without_their_reports(tmp_path):
    for name in ("one", "other"):
        make_replay(tmp_path / name)
        (tmp_path / name / "actions.npz").unlink()
    page = tmp_path / "compare.html"
    runs = [str(tmp_path / name) for name in ("one", "other")]
    assert cli.run(["compare", *runs, "--output", str(page)]) == 0
    assert Page(page.read_text()).text.count("No report of the run") == 2


def test_a_changed_world_is_named_in_the_report_and_in_the_terminal(tmp_path, capsys):
    make_rollout(tmp_path / "plain")
    make_rollout(tmp_path / "run", change="start_pose:2")
    words = "transfer cube in MuJoCo, start pose changed at strength 2"
    assert words in Page((tmp_path / "run/report.html").read_text()).text
    assert "changed at strength" not in Page((tmp_path / "plain/report.html").read_text()).text
    print_rollout(json.loads((tmp_path / "run/metrics.json").read_text()))
    assert "start pose changed at strength 2" in capsys.readouterr().out.replace("\n", " ")
    page = tmp_path / "both.html"
    runs = [str(tmp_path / name) for name in ("plain", "run")]
    assert cli.run(["report", *runs, "--output", str(page)]) == 0
    assert "Closed loop: transfer cube, start pose changed" in Page(page.read_text()).text


def test_a_page_of_several_runs_takes_a_latency_suite(tmp_path):
    figures = {
        "kind": "latency",
        "control": {"episodes": 3},
        "learned_delay_steps": 0,
        "definitions": {},
        **{"envelopes": [], "rows": []},
        "settings": {"task": "transfer_cube", "frame_age_ms": 50.0, "seeds": {"0": 7}},
        "instruction": "up!",
        "provenance": {**provenance("mini"), "dataset": None},
    }
    section = run_section(tmp_path, figures)
    text = Page(render_runs([section, section])).text
    assert "Latency: transfer cube" in text
    assert "on the simulation’s own clock, frames 50 ms old" in text
