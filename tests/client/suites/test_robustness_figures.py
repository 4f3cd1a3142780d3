"""A suite's figures from made-up cells, beside values computed by hand."""

import dataclasses

import pytest
from handover_client.results.formatting import points
from handover_client.results.statistics import PairedOutcomes, paired_difference_95
from handover_client.rollout.config import EpisodeSettings
from handover_client.suites import robustness
from handover_client.suites.robustness_figures import axis_figures, failed_beside_control
from handover_envs.perturbations import AXES
from handover_envs.tasks import find_task

from ..report.made_up import provenance

SHARE = {"successes": 0, "success_rate": 0.0, "wilson_95": [0.0, 0.5]}
RUN = {
    "settings": {
        "task": "transfer_cube",
        "realtime": False,
        "frame_age_ms": 50.0,
        "seeds": {"0": 7, "1": 8},
    },
    "instruction": "Fold the towel.",
    "provenance": provenance("mini"),
}


def cell(*outcomes: bool) -> dict:
    return {
        "episodes": len(outcomes),
        "successes": sum(outcomes),
        "success_rate": sum(outcomes) / len(outcomes),
        "wilson_95": [0.0, 1.0],
        "strict": SHARE,
        "wall_s": 1.0,
        "per_episode": [
            {"episode": place, "seed": 7 + place, "success": success}
            for place, success in enumerate(outcomes)
        ],
    }


def test_differences_are_paired_and_the_first_strength_below_80_percent_is_named():
    control = cell(True, True, True, False, True)
    cells = {
        1: cell(True, True, True, True, False),
        2: cell(False, False, True, True, True),
        3: cell(False, False, False, False, False),
    }
    figures = axis_figures(AXES["light"], control, cells, {})
    first, second, third = figures["cells"]
    assert (first["only_control"], first["only_changed"], first["difference"]) == (1, 1, 0)
    assert (second["only_control"], second["only_changed"]) == (2, 1)
    assert second["difference"] == pytest.approx(-0.2)
    assert third["p_value"] == pytest.approx(2 / 2**4)
    assert figures["falls_below_80_at"] == 2
    assert failed_beside_control(control, cells[1]) == 4
    assert failed_beside_control(control, cells[2]) == 0
    assert failed_beside_control(cells[3], control) is None


def test_the_interval_of_a_paired_difference_is_agresti_and_mins():
    # n* = 22, b* = 6.5, c* = 1.5: center -5/22, half width 1.96 sqrt(8 - 25/22) / 22
    low, high = paired_difference_95(PairedOutcomes(both=10, only_a=6, only_b=1, neither=3))
    assert low == pytest.approx(-0.2273 - 0.2334, abs=2e-4)
    assert high == pytest.approx(-0.2273 + 0.2334, abs=2e-4)
    low, high = paired_difference_95(PairedOutcomes(both=50, only_a=0, only_b=0, neither=0))
    assert low == -high
    assert 0 < high < 0.05


def test_differences_are_written_in_points():
    assert [points(share) for share in (0.0, -0.125, 1.0)] == ["+0", "−12", "+100"]


class Cells:
    """A suite's run whose cells were played by nobody."""

    def __init__(self) -> None:
        self.played: list[str] = []

    def play(self, name: str) -> dict:
        self.played.append(name)
        return {**cell(True, True), "definitions": {}}


@pytest.fixture
def towel(monkeypatch):
    """The figures of a suite whose task has none of our synonyms, and what was played for it."""
    task = dataclasses.replace(find_task("transfer_cube"), text="Fold the towel.")
    monkeypatch.setattr(robustness, "find_task", lambda name: task)
    suite, run = robustness.RobustnessSuite(("instruction",), "none"), Cells()
    names = list(suite.cells(EpisodeSettings(), None))
    return {**suite.figures(run), **RUN}, names, run.played


def test_a_world_that_would_be_the_control_is_not_played_and_named(towel):
    figures, names, played = towel
    assert names == played == ["control", "instruction_1", "instruction_3"]
    (axis,) = figures["axes"]
    assert [each["strength"] for each in axis["cells"]] == [1, 3]
    (left_out,) = axis["not_played"]
    assert (left_out["strength"], left_out["means"]) == (2, "synonyms")
    assert "“Fold the towel.” stays as it is" in left_out["reason"]
    assert "not_played" in figures["definitions"]


def test_terminal_and_report_say_what_was_not_played(towel, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("rich")
    from handover_client.report.page import render_runs, run_section
    from handover_client.report.terminal import robustness_lines

    figures, _, _ = towel
    lines = robustness_lines(figures)
    assert lines[0].endswith("2 seeds a cell, in lockstep, frames 50 ms old")
    assert "not played" in lines[2]
    assert "80 % at every strength played" in lines[2]
    assert lines[3].strip().startswith("2 not played: “Fold the towel.” stays as it is")
    page = render_runs([run_section(tmp_path, figures)])
    assert "not played, for it would be the control: “Fold the towel.” stays" in page
    assert "At least 80 % at every strength that was played." in page
    assert "in lockstep, frames 50 ms old" in page
    for axis in figures["axes"]:
        del axis["not_played"]  # suites of before do not have it
    assert "80 % at every strength" in robustness_lines(figures)[2]
    assert "not played, for" not in render_runs([run_section(tmp_path, figures)])
