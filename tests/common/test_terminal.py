"""Control sequences in a stranger's text reach a terminal as text."""

import io

import pytest
from handover_common import HandoverError, is_printable, printable, show
from handover_common.command import exit_status


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pick up the cube", "pick up the cube"),
        ("Würfel, 立方体 ⚙", "Würfel, 立方体 ⚙"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("over\rwritten\b", r"over\rwritten\x08"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("turned \u202egnp.exe", r"turned \u202egnp.exe"),
        ("tab\tand\x7f", r"tab\tand\x7f"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text, shown):
    assert printable(text) == shown
    stream = io.StringIO()
    show(text, stream)
    assert stream.getvalue() == shown + "\n"


def test_one_line_without_controls_is_printable():
    assert is_printable("left_arm")
    assert not is_printable("two\nlines")
    assert not is_printable("\x1b[31m")


def test_an_error_s_line_holds_no_control_sequence(capsys):
    def command():
        raise HandoverError("the server said \x1b[2Jhello")

    assert exit_status(command) == 1
    assert capsys.readouterr().err == "handover: the server said \\x1b[2Jhello\n"
