"""A suite's figures from made-up cells, beside values computed by hand."""

import pytest
from handover_client.results.formatting import points
from handover_client.results.statistics import PairedOutcomes, paired_difference_95
from handover_client.suites.robustness_figures import axis_figures, failed_beside_control
from handover_envs.perturbations import AXES

SHARE = {"successes": 0, "success_rate": 0.0, "wilson_95": [0.0, 0.5]}


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
    figures = axis_figures(AXES["light"], control, cells)
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
