"""`handover info` against a real server."""

import re

import pytest
from handover_client.commands.main import run
from handover_proto.types import LatencyEnvelope, Limits, ServerInfo, TrainingRecord
from handover_proto.wire import encode_info


def test_info_tells_what_is_served_and_the_round_trip(start_server, spec, capsys):
    from dataclasses import replace

    record = TrainingRecord("cubes", "ab" * 32, (0, 1, 2), (3,))
    envelope = LatencyEnvelope("hand over", "rtc", 300.0, 30.0, 100)
    served = replace(spec, training=(record,), latency_envelopes=(envelope,))
    info = encode_info(ServerInfo(served, Limits()))
    server = start_server(info=info)
    assert run(["info", "--server", server.address]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"round trip +\d+\.\d\d ms \(median of 11 GetInfo calls\)", printed)
    assert "checkpoint  tiny (c0ffeec0ffee)" in printed
    assert "chunk       4 steps, 20 Hz, 0 denoising steps" in printed
    assert "action      arm: 3 values, relative, rad" in printed
    assert (
        'latency     up to 300 ± 30 ms as without (rtc, 100 episodes each, "hand over")' in printed
    )
    assert "trained on  cubes (abababababab): 3 episodes, 1 held out" in printed


@pytest.mark.parametrize(
    ("server", "status"), [("127.0.0.1:1", 1), ("no-port", 2)], ids=["nobody", "no address"]
)
def test_info_without_a_server_is_one_line(capsys, server, status):
    assert run(["info", "--server", server, "--timeout-s", "0.2"]) == status
    error = capsys.readouterr().err
    assert server in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("timeout_s", ["0", "-1", "nan", "inf"])
def test_info_does_not_wait_for_ever(capsys, timeout_s):
    assert run(["info", "--server", "127.0.0.1:1", "--timeout-s", timeout_s]) == 2
    assert f"--timeout-s is {timeout_s}, expected above 0" in capsys.readouterr().err
