"""How long a client waits for a server, on a clock of the test's own."""

from types import SimpleNamespace

import pytest
from handover_client.connection import readiness
from handover_client.connection.readiness import Patience
from handover_proto.errors import DeadlinePassed, ServerUnavailable


def test_attempts_and_pauses_stay_within_the_time_and_the_error_says_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert Patience("host:1", 60.0).attempt_s() == 5.0
    patience, pauses = Patience("host:1", 4.0), []
    assert patience.attempt_s() == 4.0
    while now[0] < 104:
        pauses.append(patience.pause_s(ServerUnavailable(f"draining {len(pauses)}")))
        now[0] += pauses[-1]
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 0.45])
    assert patience.attempt_s() == 0.001  # an attempt needs some time
    # the last attempt had no time for an answer: the one before it says more
    with pytest.raises(ServerUnavailable, match="no server ready at host:1 within 4 s: draining 7"):
        patience.pause_s(DeadlinePassed("no answer in time"))
