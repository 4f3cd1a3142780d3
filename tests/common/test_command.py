"""What `python -m` starts ends as the handover command does."""

import pytest
from handover_common.command import exit_status
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
