"""A wait without an end is refused before anything is asked."""

import pytest
from handover_client.commands import main as cli

ASKS = "--server 127.0.0.1:1"
LINES = {
    "info": (ASKS, ["--timeout-s"]),
    "replay": (
        f"{ASKS} --dataset-path here --output out",
        ["--connect-timeout-s", "--call-timeout-s"],
    ),
    "rollout": (
        f"{ASKS} --output out",
        ["--connect-timeout-s", "--call-timeout-s", "--reconnect-s"],
    ),
    "replay-requests": (
        f"{ASKS} --recording here",
        ["--connect-timeout-s", "--call-timeout-s"],
    ),
}


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("command", list(LINES))
def test_what_is_no_time_to_wait_is_a_usage_error(command, value, capsys):
    words, flags = LINES[command]
    for flag in flags:
        assert cli.run([command, *words.split(), flag, value]) == 2
        assert f"{flag} is {value}, expected above 0" in capsys.readouterr().err
