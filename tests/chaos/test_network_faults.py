"""What the network between robot and server may do: cut, delay, lose, and crawl."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from handover_client import PolicyClient
from handover_proto import policy_pb2 as pb
from handover_proto.errors import DeadlinePassed
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import ImageCodec, PolicyRequest
from handover_proto.wire.messages import serialize_request

from .ledger import ANSWERED, from_json, outcome_of
from .lossy_link import CANNOT
from .robots import Robots, observation
from .tcp_proxy import TcpProxy, like_a_poor_network

TESTS = Path(__file__).resolve().parents[1]
TIMEOUT_S = 60.0
PAUSE_S, NAT_S = 200.0, 30.0  # by gRPC's defaults the server hangs up after 140 s


def test_a_connection_cut_in_the_middle_of_a_message_is_made_again(server, ledger, report):
    with TcpProxy(server.address) as proxy, Robots(proxy.address, ledger) as robots:
        for direction, size in ((proxy.up, 100_000), (proxy.down, 700)) * 2:
            ledger.wait_for_answers(5)
            robots.wait_for_a_stream()  # a call is asked again when it is cut, a stream is not
            direction.cut_after = size
            until_s = time.monotonic() + TIMEOUT_S
            while direction.cut_after is not None:
                assert time.monotonic() < until_s, "nothing came through the proxy"
                time.sleep(0.001)
            cut_s = time.monotonic()
        ledger.wait_for_answers(5)
        assert robots.ask() == ANSWERED
    finding = ledger.finding(
        "connection cut mid-message",
        "reset after 100 kB of requests or 700 bytes of replies, four times, by a TCP proxy",
        recovery_s=ledger.first_answer_after(cut_s),
        recovery_from="the last reset",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert finding.outcomes["UNAVAILABLE"] >= 4


@pytest.mark.slow
def test_a_network_that_loses_and_delays_packets_costs_time_alone(server, ledger, report):
    done = subprocess.run(
        [sys.executable, "-m", "chaos.lossy_link"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"},
    )
    if done.returncode == CANNOT:
        finding = _through_a_proxy(server, ledger)
    else:
        assert done.returncode == 0, done.stderr[-2000:]
        finding = from_json(json.loads(done.stdout))
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED"}


def _through_a_proxy(server, ledger):
    codec = ImageCodec.JPEG
    with TcpProxy(server.address) as proxy:
        proxy.up.hold_s, proxy.down.hold_s = like_a_poor_network(0), like_a_poor_network(1)
        with Robots(proxy.address, ledger, 1, 1, TIMEOUT_S, image_codec=codec):
            ledger.wait_for_answers(20, timeout_s=240)
    return ledger.finding(
        "poor network",
        "a TCP proxy holds each piece 100 ms ± 50 ms each way, 1 in 20 for 300 ms more; no packet "
        "is lost (no right to make network devices); JPEG frames",
        remark=ledger.latencies(),
    )


@pytest.mark.slow
def test_a_stream_without_traffic_lives_also_behind_a_nat(server, ledger, report):
    with (
        TcpProxy(server.address, forget_s=NAT_S) as proxy,
        PolicyClient.connect(proxy.address, timeout_s=TIMEOUT_S) as client,
        client.stream() as stream,
    ):
        for pause_s in (0.0, PAUSE_S):
            with pytest.raises(DeadlinePassed):
                stream.receive(timeout_s=pause_s)
            sequence = ledger.send(TIMEOUT_S)
            stream.send(observation(), sequence=sequence, seed=1)
            answer = stream.receive(timeout_s=TIMEOUT_S)
            ledger.tell(answer.sequence, outcome_of(answer.error))
    finding = ledger.finding(
        "a robot pauses",
        f"no request on a stream for {PAUSE_S:g} s, through a proxy that forgets a connection "
        f"after {NAT_S:g} s without a byte",
    )
    report(finding)
    assert finding.outcomes == {ANSWERED: 2}


def test_a_slow_reader_holds_up_nobody_else_and_gets_every_answer(server, ledger, report):
    with Robots(server.address, ledger), grpc.insecure_channel(server.address) as channel:
        sent = [ledger.send(TIMEOUT_S) for _ in range(100)]
        sight = observation()
        requests = (serialize_request(PolicyRequest(sight, 1, sequence)) for sequence in sent)
        messages = map(pb.InferRequest.FromString, requests)
        replies = PolicyServiceStub(channel).InferStream(messages, timeout=TIMEOUT_S)
        ledger.wait_for_answers(20)  # the others', while nothing of the stream is read
        for reply in replies:
            ledger.tell(reply.sequence, _outcome(reply))
    finding = ledger.finding(
        "slow reader",
        "100 raw frames on a stream that is not read until others have 20 answers more",
        remark=f"longest time between two answers {ledger.longest_gap_s():g} s",
    )
    report(finding)
    assert set(finding.outcomes) <= {ANSWERED, "ABORTED"}


def test_a_slow_writer_is_waited_for_by_nobody_else(server, ledger, report):
    with TcpProxy(server.address) as proxy:
        proxy.up.bytes_per_s = 128 * 1024
        with Robots(server.address, ledger), Robots(proxy.address, ledger, 0, 0) as slow:
            outcomes = []
            writer = threading.Thread(
                target=lambda: outcomes.extend([slow.ask("", 0.5), slow.ask("", TIMEOUT_S)])
            )
            writer.start()
            ledger.wait_for_answers(20)
            writer.join()
    finding = ledger.finding(
        "slow writer",
        "raw frames at 128 KiB/s (1.5 s each), one with a deadline of 0.5 s and one of 60 s",
        remark=f"longest time between two answers {ledger.longest_gap_s():g} s",
    )
    report(finding)
    assert outcomes == ["DEADLINE_EXCEEDED", ANSWERED]
    assert finding.outcomes["DEADLINE_EXCEEDED"] == 1


def _outcome(reply: pb.InferReply) -> str:
    from handover_proto.wire.messages import decode_error

    return outcome_of(decode_error(reply.error) if reply.HasField("error") else None)
