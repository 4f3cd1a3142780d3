"""The server's process dies, freezes, or is ended by its own watchdog."""

import signal
import time

import pytest

from .ledger import ANSWERED
from .robots import Robots
from .server_process import ServerProcess


def test_a_killed_server_is_found_again_once_it_is_back(server, ledger, report):
    with Robots(server.address, ledger):
        ledger.wait_for_answers(10)
        server.kill()
        time.sleep(0.5)  # the length of the fault
        server.start()
        back_s = time.monotonic()
        ledger.wait_for_answers(10)
    finding = ledger.finding(
        "server killed and restarted",
        "SIGKILL under load, started again on its port after 0.5 s",
        recovery_s=ledger.first_answer_after(back_s),
        recovery_from="the new server's first line",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"}
    assert finding.outcomes["UNAVAILABLE"] > 0


def test_a_frozen_server_costs_deadlines_and_nothing_else(server, ledger, report):
    with Robots(server.address, ledger, deadline_s=0.5):
        ledger.wait_for_answers(10)
        server.signal(signal.SIGSTOP)
        time.sleep(2.0)  # the length of the fault
        server.signal(signal.SIGCONT)
        thawed_s = time.monotonic()
        ledger.wait_for_answers(10)
    finding = ledger.finding(
        "server frozen and thawed",
        "SIGSTOP under load, SIGCONT after 2 s; callers wait 0.5 s",
        recovery_s=ledger.first_answer_after(thawed_s),
        recovery_from="SIGCONT",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "DEADLINE_EXCEEDED", "ABORTED"}
    assert finding.outcomes["DEADLINE_EXCEEDED"] > 0
    assert "stuck" not in "".join(server.log)


@pytest.mark.slow
def test_a_server_whose_policy_is_lost_ends_for_its_supervisor(ledger, report, tmp_path):
    (busy := tmp_path / "busy").touch()
    flags = ("--watchdog-s", "0.5", "--watchdog-exit-s", "0.5")
    with ServerProcess(*flags) as server, Robots(server.address, ledger) as robots:
        ledger.wait_for_answers(5)
        assert robots.ask(f"hang {busy}") == "UNAVAILABLE"
        assert server.wait() == 3
        server.wait_for_lines("the policy is lost")
        server.start()
        back_s = time.monotonic()
        ledger.wait_for_answers(5)
    report(
        ledger.finding(
            "policy hangs for good",
            "a call that never comes back; --watchdog-s 0.5 --watchdog-exit-s 0.5, then a restart",
            recovery_s=ledger.first_answer_after(back_s),
            recovery_from="the new server's first line",
            remark="the server ends with status 3",
        )
    )


def test_a_server_that_is_stuck_still_stops_when_told(ledger, tmp_path):
    (busy := tmp_path / "busy").touch()
    flags = ("--watchdog-s", "0.3", "--drain-s", "60")
    with ServerProcess(*flags) as server, Robots(server.address, ledger, 0, 0) as robots:
        assert robots.ask(f"hang {busy}") == "UNAVAILABLE"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
