"""What `handover drive` shows at a terminal: one line, as high as it is, in place of the last."""

import io
import os

from handover_client.commands import drive


class Terminal(io.StringIO):
    """A terminal of 40 columns."""

    def isatty(self):
        return True

    def fileno(self):
        return 2


def rows(screen: str) -> list[str]:
    """What stands in the rows of a terminal after text, \\r, \\x1b[NA (up) and \\x1b[J (clear)."""
    seen, row = [""], 0
    for part in screen.replace("\r\x1b[J", "\x1b[J").split("\x1b["):
        move, text = (
            (part[: part.index("A") + 1], part[part.index("A") + 1 :])
            if (part[:1].isdigit())
            else ("", part)
        )
        if move:
            row -= int(move[:-1])
        if text.startswith("J"):
            seen, text = [*seen[:row], ""], text[1:]
        for number, line in enumerate(text.split("\n")):
            if number:
                row += 1
                seen.append("")
            seen[row] += line
    return seen


def test_a_long_line_is_wrapped_and_replaced_as_a_whole(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(drive.os, "get_terminal_size", lambda _: os.terminal_size((40, 24)))
    monkeypatch.setattr(drive.sys, "stderr", terminal)
    screen = drive._Screen()
    screen.show("enter starts an episode\n")
    for number in range(3):
        screen.show(f"episode {number}, told " + " ".join(["-0.12"] * 14))
    first, *shown = rows(terminal.getvalue())
    assert first == "enter starts an episode"
    assert " ".join(shown) == "episode 2, told " + " ".join(["-0.12"] * 14)
    assert max(map(len, shown)) < 40
    screen.show("episode 2: success\n")
    screen.show("stopped")
    assert rows(terminal.getvalue()) == [first, "episode 2: success", "stopped"]


def test_a_log_gets_the_lines_that_end(monkeypatch):
    monkeypatch.setattr(drive.sys, "stderr", io.StringIO())
    screen = drive._Screen()
    screen.show("episode 0, 1.0 s")
    screen.show("episode 0: success\n")
    assert drive.sys.stderr.getvalue() == "episode 0: success\n"
