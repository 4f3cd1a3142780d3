"""A request is settled once, and costs nothing once nobody waits for it."""

import gc
import time
import types

import pytest
from handover_proto.errors import DeadlinePassed, InvalidRequest, ServerUnavailable, Superseded
from handover_proto.types import Observation, PolicyOutput, PolicyRequest
from handover_server.requests import request as module
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead

REQUEST = PolicyRequest(Observation({}, {}, "lift"))


@pytest.fixture
def outcomes():
    return []


@pytest.fixture
def pending(outcomes):
    return PendingRequest(b"bytes", RequestHead(1), Lane(), None, outcomes.append)


def test_only_the_first_outcome_counts(pending, outcomes):
    first = PolicyOutput({})
    pending.settle(first)
    pending.settle(PolicyOutput({}))
    pending.withdraw(Superseded("late"))
    assert outcomes == [first]


def test_a_withdrawn_ticket_is_not_decoded_and_not_run(pending, outcomes):
    pending.withdraw(Superseded("newer"))
    assert pending.start_decoding() is None
    assert pending.start() is None
    assert len(outcomes) == 1


def test_a_request_that_the_policy_has_started_on_cannot_be_withdrawn(pending, outcomes):
    pending.finish_decoding(REQUEST)
    assert pending.start() is not None
    pending.withdraw(ServerUnavailable("no"))
    assert outcomes == []


def test_past_its_deadline_a_request_is_dropped_before_each_stage(outcomes, monkeypatch):
    late = PendingRequest(b"bytes", RequestHead(1), Lane(), time.monotonic() - 1, outcomes.append)
    assert late.start_decoding() is None
    later = PendingRequest(
        b"bytes", RequestHead(1), Lane(), time.monotonic() + 100, outcomes.append
    )
    assert later.start_decoding() == b"bytes"
    later.finish_decoding(REQUEST)
    clock = types.SimpleNamespace(
        perf_counter=time.perf_counter, monotonic=lambda: time.monotonic() + 101
    )
    monkeypatch.setattr(module, "time", clock)
    assert later.start() is None
    assert [type(outcome) for outcome in outcomes] == [DeadlinePassed, DeadlinePassed]


def test_what_a_request_waited_and_what_decoding_took_are_told_apart(monkeypatch, outcomes):
    moments = iter([10.0, 10.001, 10.003, 10.007])  # it comes, is decoded from and to, is claimed
    clock = types.SimpleNamespace(perf_counter=lambda: next(moments), monotonic=time.monotonic)
    monkeypatch.setattr(module, "time", clock)
    pending = PendingRequest(b"bytes", RequestHead(1), Lane(), None, outcomes.append)
    pending.start_decoding()
    pending.finish_decoding(REQUEST)
    pending.start()
    assert pending.began_s == 10.0
    assert (pending.queue_ms, pending.decode_ms) == pytest.approx((5, 2))


def test_a_seed_that_is_given_is_kept_and_a_missing_one_is_drawn(outcomes):
    def seed_of(request):
        pending = PendingRequest(b"", RequestHead(1), Lane(), None, outcomes.append)
        pending.finish_decoding(request)
        assert pending.start().seed == pending.seed
        return pending.seed

    assert seed_of(PolicyRequest(REQUEST.observation, seed=0)) == 0
    drawn = {seed_of(REQUEST) for _ in range(20)}
    assert len(drawn) == 20
    assert max(drawn) < 2**53


def test_the_bytes_and_arrays_are_let_go_as_soon_as_they_can_be(pending):
    pending.finish_decoding(REQUEST)
    assert pending.data is None
    pending.settle(PolicyOutput({}))
    assert pending.request is None


def test_an_error_that_settles_a_request_keeps_nothing_of_the_frames_it_came_through(outcomes):
    class Pixels(bytes):
        """A request's bytes, of which can be told when they are let go."""

        def __del__(self) -> None:
            gone.append(1)

    def decode(data: bytes) -> None:
        try:
            raise ValueError(f"{len(data)} bytes that do not parse")
        except ValueError:
            raise InvalidRequest("message", "an InferRequest", "other bytes") from None

    gone: list[int] = []
    data = Pixels(1000)
    pending = PendingRequest(data, RequestHead(), Lane(), None, outcomes.append)
    gc.disable()  # no cycle may wait for a collection
    try:
        try:
            decode(data)
        except InvalidRequest as error:
            pending.settle(error)
        del data
        assert gone == [1]
    finally:
        gc.enable()
    (outcome,) = outcomes
    assert (outcome.__traceback__, outcome.__context__) == (None, None)
