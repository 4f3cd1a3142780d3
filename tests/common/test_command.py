"""What `python -m` starts ends as the handover command does."""

from types import SimpleNamespace

import pytest
from handover_common.command import check_range, exit_status
from handover_common.errors import HandoverError, UsageError


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
