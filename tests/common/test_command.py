"""A command is parsed, run, and ends with one line and an exit status."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from handover_common import HandoverError, UsageError, check_range, exit_status, run_command


@pytest.mark.parametrize(
    ("ends", "status", "told"),
    [
        (UsageError("--seed is -1"), 2, "handover: --seed is -1\n"),
        (HandoverError("no room\non the disk"), 1, "handover: no room on the disk\n"),
        (KeyboardInterrupt(), 130, "\nhandover: interrupted\n"),
    ],
)
def test_what_ends_a_command_is_one_line(ends, status, told, capsys):
    def cli():
        raise ends

    assert exit_status(cli) == status
    assert capsys.readouterr().err == told


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("value", "most", "told"),
    [
        (-1, 2**32 - 1, "--a-seed is -1, expected 0 to 4294967295"),
        (-0.5, 1, "--a-seed is -0.5, expected 0 to 1"),
        (float("nan"), float("inf"), "--a-seed is nan, expected 0 or more"),
    ],
)
def test_a_number_out_of_range_is_told_with_the_range(value, most, told):
    with pytest.raises(UsageError) as caught:
        check_range(SimpleNamespace(a_seed=value), "a_seed", least=0, most=most)
    assert str(caught.value) == told


def test_no_number_is_in_any_range():
    check_range(SimpleNamespace(steps=None), "steps", least=1)


def test_a_command_that_is_done_exits_with_0():
    assert exit_status(lambda: "whatever it returns") == 0


@dataclass(frozen=True)
class Config:
    """A command of a test."""

    count: int = 1
    rate: float | None = None


def test_a_command_gets_what_was_parsed(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["whatever", "--count", "3"])
    assert run_command(Config, seen.append, "handover count") == 0
    assert seen == [Config(count=3)]


def test_its_help_has_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["whatever", "--help"])
    with pytest.raises(SystemExit) as ended:
        run_command(Config, print, "handover count")
    assert ended.value.code == 0
    assert "usage: handover count" in capsys.readouterr().out


def test_the_first_number_out_of_range_is_told():
    with pytest.raises(UsageError, match=r"^--count is 65536, expected 0 to 65535$"):
        check_range(Config(65536), "rate", "count", least=0, most=65535)
