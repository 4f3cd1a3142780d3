"""Leaderboards: the best first, pairs on what both played, and no more false alarms for many."""

import json

import pytest

pytest.importorskip("jinja2", reason="reports need the extra replay")

from handover_client.commands import main as cli
from handover_client.comparison.leaderboard import holm, leaderboards
from handover_client.results.run_folder import read_run

from ..report.made_up import make_replay, make_rollout
from ..report.pages import Page, foreign_addresses


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three rollouts of 12 seeds (3, 12 and 12 successes), and two replays of one dataset."""
    root = tmp_path_factory.mktemp("runs")
    make_rollout(root / "weak", "weak", (True,) * 3 + (False,) * 9)
    make_rollout(root / "strong", "weak", (True,) * 12)
    make_rollout(root / "same", "weak", (True,) * 12)
    make_replay(root / "rough", error=0.2)
    make_replay(root / "fine", error=0.01)
    return root


def boards_of(root, *names):
    return leaderboards([(root / name, read_run(root / name)) for name in names])


def test_runs_of_one_task_share_a_board_with_the_best_first(runs):
    closed, opened = boards_of(runs, "weak", "rough", "strong", "fine")
    assert [row.run.name for row in closed.rows] == ["strong", "weak"]
    assert [row.success for row in closed.rows] == [1.0, 0.25]
    assert [row.run.name for row in opened.rows] == ["fine", "rough"]


def test_pairs_are_tested_on_their_seeds_and_corrected_for_their_number(runs):
    (board,) = boards_of(runs, "weak", "strong", "same")
    ((_, even, far), (_, _, same_far), _) = board.tests
    assert (even.difference, even.differs) == (0.0, False)
    # 9 of 9 discordant seeds one way: McNemar's p is 2 / 2**9; two such and a 1: three times that
    assert far.words == f"p = {3 * 2 / 2**9:.3f}, 12 seeds"
    assert (far.difference, far.differs) == (0.75, True)
    assert same_far == far
    assert board.tests[1][0] is None


def test_holms_p_values_grow_by_the_tests_that_are_left():
    # Holm 1979: (0.01 x 4, 0.02 x 3, 0.03 x 2, 0.9), never falling
    assert holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.7, 0.6]) == [1.0, 1.0]


def test_runs_in_different_worlds_are_on_boards_that_name_them(runs, tmp_path):
    for name, change in (("dim", "light:3"), ("dimmer", "light:3"), ("tilted", "camera:1")):
        make_rollout(tmp_path / name, "weak", (True,) * 3, change)
    places = [runs / "weak", *(tmp_path / name for name in ("dim", "tilted", "dimmer"))]
    boards = leaderboards([(place, read_run(place)) for place in places])
    assert [(board.title, len(board.rows)) for board in boards] == [
        ("transfer cube, closed loop", 1),
        ("transfer cube, closed loop, light changed at strength 3", 2),
        ("transfer cube, closed loop, camera changed at strength 1", 1),
    ]


def test_an_outage_of_an_older_run_is_in_no_test(runs):
    figures = read_run(runs / "weak")
    for each in figures["per_episode"][3:]:
        each["ended"] = "server_lost"
    (board,) = leaderboards([(runs / "strong", read_run(runs / "strong")), (runs, figures)])
    assert board.tests[0][1].words == "p = 1.000, 3 seeds"


def test_runs_without_a_common_seed_are_not_tested(runs, tmp_path):
    figures = read_run(runs / "weak")
    for each in figures["per_episode"]:
        each["seed"] += 10_000
    (board,) = leaderboards([(runs / "strong", read_run(runs / "strong")), (tmp_path, figures)])
    assert board.tests[0][1].difference is None
    assert board.tests[0][1].words == "no seed in both"


def test_an_open_loop_pair_differs_where_its_interval_leaves_zero_out(runs):
    (board,) = boards_of(runs, "rough", "fine")
    test = board.tests[0][1]
    assert test.differs
    assert test.difference == pytest.approx(board.rows[0].success - board.rows[1].success)


def test_the_page_has_a_row_for_each_run_and_fetches_nothing(runs, tmp_path):
    names = ("weak", "strong", "rough", "fine")
    page = tmp_path / "board.html"
    folders = [str(runs / name) for name in names]
    assert cli.run(["report", "--table", *folders, "--output", str(page)]) == 0
    text = page.read_text()
    assert foreign_addresses(text) == []
    for words in (*names, "25.0 %", "100.0 %", "+75.0", "4 denoising steps", "McNemar"):
        assert words in Page(text).text


def test_a_run_of_an_older_version_is_one_line(runs, tmp_path, capsys):
    figures = read_run(runs / "weak")
    del figures["wall_s"]
    (tmp_path / "old.json").write_text(json.dumps(figures))
    page = tmp_path / "board.html"
    assert cli.run(["report", "--table", str(tmp_path / "old.json"), "--output", str(page)]) == 1
    assert "cannot put into a table" in capsys.readouterr().err
    assert not page.exists()
