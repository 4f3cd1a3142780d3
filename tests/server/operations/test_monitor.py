"""The port beside the service: metrics in Prometheus's format, and health as a status."""

import contextlib
import http.client
import socket
import ssl
import sys
import threading
import time
import types

import grpc
import pytest
from handover_server.errors import ServingError
from handover_server.inference.shares import AdmissionLimits
from handover_server.operations import heartbeat as heartbeat_module
from handover_server.operations import monitor as monitor_module
from handover_server.operations.metrics import Metrics
from handover_server.operations.monitor import Monitor
from handover_server.policies.hold import HoldPolicy
from handover_server.security.tls import TlsFiles, renewing_context
from handover_server.security.tokens import TokenCheck
from prometheus_client.parser import text_string_to_metric_families

from ..conftest import wait_until

TIMEOUT_S = 60
TOKEN = "a-token-0123456789abcdef"


@pytest.fixture
def open_monitor():
    opened = []

    def make(status=lambda: "serving", exposition=lambda: b"", tokens=(), **options):
        monitor = Monitor(("127.0.0.1", 0), status, exposition, TokenCheck(tokens), **options)
        opened.append(monitor)
        return monitor

    yield make
    for monitor in opened:
        monitor.close()


def get(monitor, path, headers=(), tls=None):
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    options = {"context": tls} if tls else {}
    connection = kind("127.0.0.1", monitor.port, timeout=TIMEOUT_S, **options)
    try:
        connection.request("GET", path, headers=dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def values_of(text):
    """{(sample, labels): value} of an exposition, as Prometheus's own parser reads it."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def watched(serve, open_monitor):
    """Start a server with metrics: watched(policy, …) gives it and a function that scrapes."""

    def start(policy, **settings):
        metrics = Metrics()
        server = serve(policy, observer=metrics, **settings)
        metrics.follow(server.server.levels, dict)
        monitor = open_monitor(lambda: server.server.status, metrics.exposition)
        return server, lambda: values_of(get(monitor, "/metrics")[1]), monitor

    return start


def test_every_chunk_is_counted_and_timed_in_every_stage(watched, noise, message):
    server, scrape, _ = watched(noise)
    began_s = time.perf_counter()
    for _ in range(3):
        server.infer(message())
    passed_s = time.perf_counter() - began_s
    seen = scrape()
    assert seen["handover_requests_total", "ok"] == 3
    assert seen["handover_request_seconds_count",] == 3
    for stage in ("queue", "decode", "preprocess", "backbone", "action_head", "encode"):
        assert seen["handover_stage_seconds_count", stage] == 3
    for place, stage in enumerate(("preprocess", "backbone", "action_head"), start=1):
        assert seen["handover_stage_seconds_sum", stage] == pytest.approx(3 * place / 1e3)
    ours = ("queue", "decode", "encode")
    assert 0 < sum(seen["handover_stage_seconds_sum", stage] for stage in ours) < passed_s
    assert 0 < seen["handover_request_seconds_sum",] < passed_s
    assert seen["handover_batch_size_sum",] == 3
    assert seen["handover_in_flight_requests",] == 0
    assert seen["process_resident_memory_bytes",] > 0


def test_failures_and_refusals_are_counted_by_reason(watched, moody, message):
    server, scrape, _ = watched(moody, limits=AdmissionLimits(message_bytes=400_000))
    big = message()
    big.observation.cameras["ego_view"].frames[0].data += bytes(400_000)
    broken = message()
    broken.observation.task = ""
    for request in (message(client_tag="raise"), broken, big, b"\xff" * 9):
        with pytest.raises(Exception):  # noqa: B017, PT011 - other tests say which
            server.infer_bytes(
                request if isinstance(request, bytes) else request.SerializeToString()
            )
    seen = scrape()
    assert seen["handover_requests_total", "internal"] == 1
    assert seen["handover_requests_total", "invalid_argument"] == 1
    assert seen["handover_rejected_total", "bytes"] == 1
    assert seen["handover_rejected_total", "invalid"] == 1


def test_what_waits_and_what_runs_shows_while_it_does(watched, gated, message):
    server, scrape, _ = watched(gated)
    calls = [server.stub.Infer.future(message(), timeout=TIMEOUT_S) for _ in range(3)]
    gated.wait_until_busy()
    server.wait_until_in_flight(3)
    wait_until(lambda: scrape()["handover_queue_depth",] == 2)  # the last may be decoded yet
    seen = scrape()
    assert seen["handover_in_flight_requests",] == 3
    assert seen["handover_clients_in_flight",] == 1
    gated.let_through(3)
    for call in calls:
        call.result()
    assert scrape()["handover_queue_depth",] == 0


def test_a_gpus_memory_shows_once_the_policy_has_begun_to_use_it(monkeypatch):
    begun = []
    cuda = types.SimpleNamespace(
        is_initialized=lambda: bool(begun),
        device_count=lambda: 1,
        mem_get_info=lambda index: (1.0, 2.0),
        memory_allocated=lambda index: 3.0,
        memory_reserved=lambda index: 4.0,
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    metrics = Metrics()

    def shown():
        seen = values_of(metrics.exposition().decode())
        return {key[1:]: value for key, value in seen.items() if key[0].startswith("handover_gpu")}

    assert shown() == {}
    begun.append(True)
    uses = {"free": 1, "total": 2, "allocated": 3, "reserved": 4}
    assert shown() == {("cuda:0", use): value for use, value in uses.items()}
    monkeypatch.setitem(sys.modules, "torch", None)
    assert shown() == {}


def test_the_checkpoint_is_named(watched, noise):
    _, scrape, _ = watched(noise)
    assert scrape()["handover_checkpoint_info", "hold", "f00d", "cpu", "float32", "noise", ""] == 1


def test_health_is_200_only_while_serving_and_else_says_why(serve, open_monitor, gated, message):
    server = serve(gated, ready=False)
    gated.warm = False
    monitor = open_monitor(lambda: server.server.status)
    assert get(monitor, "/healthz") == (503, "loading\n")
    server.run(server.server.become_ready())
    gated.warm = True
    assert get(monitor, "/healthz") == (200, "serving\n")
    in_flight = server.stub.Infer.future(message(), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    server.loop.call_soon_threadsafe(server.server.stop_admitting)
    wait_until(lambda: get(monitor, "/healthz")[0] != 200)
    assert get(monitor, "/healthz") == (503, "draining\n")
    gated.let_through()
    assert in_flight.result().action


def test_strangers_are_counted(watched, message):
    server, scrape, _ = watched(HoldPolicy(), tokens=TokenCheck([TOKEN]))
    with pytest.raises(grpc.RpcError):
        server.infer(message())
    assert scrape()["handover_rejected_total", "unauthenticated"] == 1


def test_metrics_want_the_token_and_health_does_not(open_monitor):
    monitor = open_monitor(exposition=lambda: b"m 1\n", tokens=[TOKEN])
    assert get(monitor, "/healthz")[0] == 200
    status, text = get(monitor, "/metrics")
    assert (status, "requires a token" in text) == (401, True)
    shown = [("Authorization", f"Bearer {TOKEN}")]
    assert get(monitor, "/metrics", shown) == (200, "m 1\n")
    assert get(monitor, "/secrets")[0] == 404


def test_with_a_certificate_the_port_is_encrypted_too(open_monitor, authority):
    certificate, key = authority.sign("monitor")
    monitor = open_monitor(tls=renewing_context(TlsFiles(certificate, key)))
    trusting = ssl.create_default_context(cafile=authority.certificate)
    assert get(monitor, "/healthz", tls=trusting) == (200, "serving\n")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        get(monitor, "/healthz")
    key.write_text("half of a renewal")  # or a probe would have the server restarted for it
    assert get(monitor, "/healthz", tls=trusting) == (200, "serving\n")
    authority.sign("monitor")
    assert get(monitor, "/healthz", tls=trusting) == (200, "serving\n")


def test_a_probe_takes_the_place_of_the_oldest_that_sends_nothing(open_monitor, monkeypatch):
    monkeypatch.setattr(monitor_module, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(monitor_module, "PATIENCE_S", TIMEOUT_S)
    monitor = open_monitor()
    silent = [socket.create_connection(("127.0.0.1", monitor.port), TIMEOUT_S) for _ in range(3)]
    assert get(monitor, "/healthz") == (200, "serving\n")
    for connection in silent[:2]:
        assert connection.recv(1) == b""
    silent[2].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert silent[2].recv(12) == b"HTTP/1.1 200"
    for connection in silent:
        connection.close()


def test_headers_that_trickle_in_have_no_more_time_than_silence(open_monitor, monkeypatch):
    monkeypatch.setattr(monitor_module, "PATIENCE_S", 0.3)
    with socket.create_connection(("127.0.0.1", open_monitor().port), TIMEOUT_S) as slow:
        slow.settimeout(0.02)
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        until_s = time.monotonic() + TIMEOUT_S
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < until_s:
                try:
                    slow.sendall(b"x: y\r\n")
                    assert slow.recv(1) == b""
                    break
                except TimeoutError:
                    continue
        assert time.monotonic() < until_s


def test_the_port_answers_where_no_thread_can_be_started(open_monitor, monkeypatch):
    monitor = open_monitor()

    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    for _ in range(monitor_module.MOST_CONNECTIONS + 1):
        assert get(monitor, "/healthz") == (200, "serving\n")


def test_health_says_that_the_event_loop_is_blocked(serve, monkeypatch):
    monkeypatch.setattr(heartbeat_module, "LONGEST_SILENCE_S", 0.2)
    monkeypatch.setattr(heartbeat_module, "BEAT_S", 0.01)
    running = serve(HoldPolicy(), monitor=("127.0.0.1", 0))
    monitor, gate = running.server.monitor, threading.Event()
    wait_until(lambda: get(monitor, "/healthz") == (200, "serving\n"))
    running.loop.call_soon_threadsafe(gate.wait, TIMEOUT_S)
    wait_until(lambda: get(monitor, "/healthz")[0] == 503)
    assert "blocked: the event loop has not run for" in get(monitor, "/healthz")[1]
    gate.set()
    wait_until(lambda: get(monitor, "/healthz") == (200, "serving\n"))


def test_no_web_page_reads_the_metrics_of_a_server_without_tokens(open_monitor):
    monitor = open_monitor(exposition=lambda: b"m 1\n")
    here = f"127.0.0.1:{monitor.port}"
    assert get(monitor, "/metrics", {"Host": here}) == (200, "m 1\n")
    for headers in ({"Origin": "https://a.page"}, {"Host": f"a.page:{monitor.port}"}):
        status, text = get(monitor, "/metrics", headers)
        assert (status, "m 1" in text) == (403, False)


def test_after_its_end_the_port_is_free(open_monitor):
    monitor = open_monitor()
    assert get(monitor, "/healthz") == (200, "serving\n")
    monitor.close()
    with pytest.raises(ConnectionRefusedError):
        get(monitor, "/healthz")


def test_a_taken_port_is_one_clear_line(open_monitor):
    port = open_monitor().port
    with pytest.raises(ServingError, match=rf"cannot listen on 127.0.0.1:{port} for metrics"):
        Monitor(("127.0.0.1", port), lambda: "", lambda: b"", TokenCheck())
