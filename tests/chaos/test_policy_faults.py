"""The policy raises, hangs, or runs out of memory, while other robots are served."""

import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .ledger import ANSWERED
from .robots import Robots
from .server_process import ServerProcess

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_policy_that_raises_costs_its_batch(server, ledger, report):
    with Robots(server.address, ledger) as robots:
        ledger.wait_for_answers(5)
        outcomes = [robots.ask("raise") for _ in range(3)]
        failed_s = time.monotonic()
        ledger.wait_for_answers(5)
    finding = ledger.finding(
        "policy raises",
        "RuntimeError on 3 requests under load",
        recovery_s=ledger.first_answer_after(failed_s),
        recovery_from="the last of them",
        remark="the client learns an incident's id, the log has the traceback",
    )
    report(finding)
    assert outcomes == ["INTERNAL"] * 3
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED", "INTERNAL"}
    server.wait_for_lines("incident", 3)


def test_out_of_memory_in_one_batch_costs_one_request(server, ledger, report):
    with Robots(server.address, ledger) as robots:
        ledger.wait_for_answers(5)
        assert robots.ask("memory") == "RESOURCE_EXHAUSTED"
        failed_s = time.monotonic()
        ledger.wait_for_answers(5)
    finding = ledger.finding(
        "out of memory in one batch",
        "a request that allocates 2^60 bytes, under load",
        recovery_s=ledger.first_answer_after(failed_s),
        recovery_from="its error",
        remark="its batch mates are computed without it",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED", "RESOURCE_EXHAUSTED"}
    assert finding.outcomes["RESOURCE_EXHAUSTED"] == 1


def test_a_policy_that_hangs_is_announced_until_it_is_back(ledger, report, tmp_path):
    busy = tmp_path / "busy"
    busy.touch()
    with (
        ServerProcess("--watchdog-s", "2") as server,
        grpc.insecure_channel(server.address) as channel,
        Robots(server.address, ledger) as robots,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=120
        )
        health = (reply.status for reply in watch)
        ledger.wait_for_answers(5)
        assert next(health) == SERVING
        hanging = threading.Thread(target=robots.ask, args=(f"hang {busy}",))
        hanging.start()
        assert next(health) == NOT_SERVING
        assert robots.ask() == "UNAVAILABLE"
        busy.unlink()
        assert next(health) == SERVING
        back_s = time.monotonic()
        ledger.wait_for_answers(5)
        hanging.join()
        watch.cancel()
        server.wait_for_lines("is stuck")
    finding = ledger.finding(
        "policy hangs",
        "a call that comes back after health says NOT_SERVING, under load, --watchdog-s 2",
        recovery_s=ledger.first_answer_after(back_s),
        recovery_from="health's SERVING",
        remark="health says NOT_SERVING meanwhile",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED", "UNAVAILABLE"}
    assert sum("is stuck" in line for line in server.log) == 1
