"""A policy that does not come back: health, clients, and what happens when it does."""

import asyncio
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from handover_proto.errors import ServerUnavailable
from handover_server.operations import watchdog as module
from handover_server.operations.watchdog import Watchdog, WatchdogSettings

TIMEOUT_S = 60
STUCK_S = 0.5
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HeldClock:
    """The watchdog's clock: it stands still unless a test lets it run, so no step is too slow."""

    def __init__(self):
        self.hold()

    def hold(self):
        self._held_s = time.monotonic()

    def run(self):
        self._held_s = None

    def monotonic(self):
        return time.monotonic() if self._held_s is None else self._held_s


@pytest.fixture
def clock(monkeypatch):
    clock = HeldClock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def health_changes(server):
    """The server's health, now and at every change."""
    call = health_pb2_grpc.HealthStub(server.channel).Watch(
        health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S
    )
    return (reply.status for reply in call)


def test_a_stuck_policy_turns_clients_away_until_it_comes_back(
    serve, gated, message, typed_error, caplog, clock
):
    server = serve(gated, watchdog=WatchdogSettings(stuck_s=STUCK_S))
    health = health_changes(server)
    assert next(health) == SERVING
    computed = server.stub.Infer.future(message(sequence=1), timeout=TIMEOUT_S)
    gated.wait_until_busy()
    waiting = server.stub.Infer.future(message(sequence=2), timeout=TIMEOUT_S)
    server.wait_until_in_flight(2)
    clock.run()
    assert next(health) == NOT_SERVING
    clock.hold()
    for call in (computed, waiting):
        error = typed_error(call.exception())
        assert isinstance(error, ServerUnavailable)
        assert "has not answered for 0.5 s" in str(error)
    with pytest.raises(ServerUnavailable, match="until it does or is restarted"):
        server.infer_bytes(message(sequence=3).SerializeToString())
    assert "has not answered" in server.server.status
    gated.let_through()
    assert next(health) == SERVING
    assert server.server.status == "serving"
    gated.let_through()
    assert server.infer(message(sequence=4)).sequence == 4
    assert gated.sequences == [[1], [4]]
    stuck = [record for record in caplog.records if "is stuck" in record.message]
    assert len(stuck) == 1
    assert "2 request(s)" in stuck[0].message
    assert ".py:" in stuck[0].message
    assert "came back after" in caplog.text


def test_a_stream_lives_through_it(serve, gated, message, clock):
    server = serve(gated, watchdog=WatchdogSettings(stuck_s=STUCK_S))
    health = health_changes(server)
    assert next(health) == SERVING

    def requests():
        yield message(sequence=1)
        clock.run()
        assert next(health) == NOT_SERVING
        clock.hold()
        gated.let_through(2)
        assert next(health) == SERVING
        yield message(sequence=2)

    first, second = server.stub.InferStream(requests(), timeout=TIMEOUT_S)
    assert (first.sequence, first.error.status) == (1, grpc.StatusCode.UNAVAILABLE.value[0])
    assert (second.sequence, second.error.status) == (2, 0)


def test_a_policy_that_stays_away_is_given_up(serve, gated, message, typed_error):
    server = serve(gated, watchdog=WatchdogSettings(stuck_s=0.1, exit_s=0.1))
    lost = asyncio.run_coroutine_threadsafe(server.server.until_lost(), server.loop)
    stuck = server.stub.Infer.future(message(), timeout=TIMEOUT_S)
    lost.result(TIMEOUT_S)
    assert isinstance(typed_error(stuck.exception()), ServerUnavailable)


def test_a_policy_whose_gpu_fails_is_given_up(
    serve, moody, message, typed_error, caplog, monkeypatch
):
    server = serve(moody, watchdog=WatchdogSettings(stuck_s=0.0))
    health = health_changes(server)
    assert next(health) == SERVING
    lost = asyncio.run_coroutine_threadsafe(server.server.until_lost(), server.loop)
    with pytest.raises(grpc.RpcError) as failed:
        server.infer(message(client_tag="raise"))
    assert failed.value.code() is grpc.StatusCode.INTERNAL  # the GPU still answers
    monkeypatch.setattr("handover_server.inference.batch_runner.gpu_is_lost", lambda: True)
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as failed:
            server.infer(message(client_tag="raise"))
        assert isinstance(typed_error(failed.value), ServerUnavailable)
        assert "the GPU failed" in failed.value.details()
    lost.result(TIMEOUT_S)
    assert next(health) == NOT_SERVING
    assert "secret" not in failed.value.details()
    assert "the policy is lost: the GPU failed" in caplog.text


def test_a_watchdog_that_is_off_gives_no_policy_up(serve, gated, message):
    server = serve(gated, watchdog=WatchdogSettings(stuck_s=0.0, exit_s=0.1))
    lost = asyncio.run_coroutine_threadsafe(server.server.until_lost(), server.loop)
    gated.let_through()
    assert server.infer(message(sequence=1)).sequence == 1
    assert not lost.done()
    lost.cancel()


class FrozenWorld:
    """A clock that only sleeping moves, by what was asked for and what `oversleeps` adds."""

    def __init__(self, oversleeps):
        self.now, self.slept, self.oversleeps = 100.0, [], list(oversleeps)

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(round(seconds, 3))
        self.now += seconds + (self.oversleeps.pop(0) if self.oversleeps else 0.0)


class Calls:
    began_s = 100.0

    def location(self):
        return "policy.py:1 in infer"


@pytest.mark.parametrize(("oversleeps", "slept"), [([], [30.0]), ([600.0], [30.0, 30.0])])
def test_a_process_that_was_frozen_is_not_a_stuck_policy(monkeypatch, oversleeps, slept):
    world = FrozenWorld(oversleeps)
    monkeypatch.setattr(module.time, "monotonic", world.monotonic)
    monkeypatch.setattr(module.asyncio, "sleep", world.sleep)
    watchdog = Watchdog(Calls(), WatchdogSettings(30.0), None, None)
    with pytest.raises(StopIteration) as done:
        watchdog.until_stuck().send(None)
    assert done.value.value == 100.0
    assert world.slept == slept


def test_a_stuck_policy_has_the_time_that_was_set_to_come_back(monkeypatch):
    world = FrozenWorld([])
    monkeypatch.setattr(module.time, "monotonic", world.monotonic)
    monkeypatch.setattr(module.asyncio, "sleep", world.sleep)
    with pytest.raises(StopIteration) as done:
        Watchdog(Calls(), WatchdogSettings(30.0, 5.0), None, None).until_back(100.0).send(None)
    assert done.value.value is False
    assert world.now == pytest.approx(105.0, abs=module.LOOK_S)
