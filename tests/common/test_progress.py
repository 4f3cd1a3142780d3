"""A bar shows what is done of what; a log, which has no bar, gets lines where it should."""

import pytest
from handover_common import ProgressBar, track

pytest.importorskip("rich", reason="no command with a bar is installed here")


def test_a_bar_ends_with_what_is_done(capsys):
    with ProgressBar("recording", 5, "episodes", done=2) as bar:
        bar.advance()
        bar.show(note="1 failed")
        assert bar.seconds() > 0
    shown = capsys.readouterr().err
    assert shown.startswith("recording ")
    assert "3/5 episodes, 1 failed," in shown


def test_a_transient_bar_leaves_a_log_its_lines_alone(capsys):
    with ProgressBar("", 2, transient=True) as bar:
        for number in (1, 2):
            bar.show(done=number, what="success 100 %")
            bar.log(f"{number} of 2 episodes")
    assert capsys.readouterr().err == "1 of 2 episodes\n2 of 2 episodes\n"


def test_items_pass_through_a_bar(capsys):
    assert list(track("abc", "decoding", "files", total=3)) == ["a", "b", "c"]
    assert "3/3 files" in capsys.readouterr().err
