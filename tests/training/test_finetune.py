"""What `python -m` and torchrun start ends as the handover command does."""

import pytest
from handover_proto.errors import UsageError
from handover_training import finetune
from handover_training.errors import TrainingError


@pytest.mark.parametrize(
    ("ends", "status", "told"),
    [
        (UsageError("--seed is -1"), 2, "handover: --seed is -1\n"),
        (TrainingError("no room"), 1, "handover: no room\n"),
        (KeyboardInterrupt(), 130, "handover: interrupted\n"),
    ],
)
def test_what_ends_a_run_is_one_line(ends, status, told, monkeypatch, capsys):
    def cli():
        raise ends

    monkeypatch.setattr(finetune, "cli", cli)
    with pytest.raises(SystemExit) as left:
        finetune.module()
    assert left.value.code == status
    assert capsys.readouterr().err == told
