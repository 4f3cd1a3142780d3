"""One thread runs the policy: batches, failures, and what is dropped before it costs anything."""

import dataclasses
import gc
import queue
import threading
import time
import types
import weakref

import pytest
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
)
from handover_proto.types import PolicyOutput, PolicyRequest
from handover_server.inference import scheduler as module
from handover_server.inference.scheduler import Scheduler
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead

from ..conftest import wait_until

WAIT_S = 60


@pytest.fixture
def outcomes():
    return queue.Queue()


@pytest.fixture
def submit(observation, outcomes):
    def do(scheduler, sequence=0, tag="", lane=None, deadline=None):
        pending = PendingRequest(
            b"",
            RequestHead(sequence),
            lane or Lane(),
            deadline,
            lambda outcome: outcomes.put((sequence, outcome)),
        )
        pending.finish_decoding(PolicyRequest(observation, None, sequence, tag))
        scheduler.submit(pending)
        return pending

    return do


@pytest.fixture
def start():
    running = []

    def do(policy, max_batch=None):
        scheduler = Scheduler(lambda: policy, max_batch)
        scheduler.start()
        assert scheduler.ready.result(WAIT_S).policy == policy.spec.policy
        if hasattr(policy, "warm"):
            policy.warm = True
        running.append((scheduler, policy))
        return scheduler

    yield do
    for scheduler, policy in running:
        if hasattr(policy, "let_through"):
            policy.let_through(100)
        assert scheduler.close(WAIT_S)


def gather(outcomes, count):
    return dict(outcomes.get(timeout=WAIT_S) for _ in range(count))


def test_what_is_queued_when_the_policy_is_free_goes_in_together(
    gated_batch, start, submit, outcomes
):
    scheduler = start(gated_batch)
    submit(scheduler, 1)
    assert gated_batch.wait_until_busy() == 1
    for sequence in range(2, 8):
        submit(scheduler, sequence)
    gated_batch.let_through(3)
    assert set(gather(outcomes, 7)) == set(range(1, 8))
    assert gated_batch.sequences == [[1], [2, 3, 4, 5], [6, 7]]


def test_the_command_lines_batch_bounds_the_policys(gated_batch, start, submit, outcomes):
    scheduler = start(gated_batch, max_batch=2)
    assert scheduler.ready.result().max_batch == 2
    for sequence in range(5):
        submit(scheduler, sequence)
    gated_batch.let_through(5)
    gather(outcomes, 5)
    assert max(map(len, gated_batch.batches)) <= 2


def test_late_withdrawn_and_superseded_requests_never_reach_the_policy(
    gated, start, submit, outcomes
):
    scheduler, lane = start(gated), Lane()
    submit(scheduler, 1)
    gated.wait_until_busy()
    submit(scheduler, 2, deadline=time.monotonic() - 1)
    submit(scheduler, 3).withdraw(ServerUnavailable("client went away"))
    submit(scheduler, 4, lane=lane)
    submit(scheduler, 5, lane=lane)
    gated.let_through(2)
    found = gather(outcomes, 5)
    assert gated.sequences == [[1], [5]]
    assert isinstance(found[2], DeadlinePassed)
    assert isinstance(found[3], ServerUnavailable)
    assert isinstance(found[4], Superseded)
    assert isinstance(found[5], PolicyOutput)


def test_a_policy_that_raises_fails_that_batch_only_and_tells_no_secret(
    moody, start, submit, outcomes, caplog
):
    scheduler = start(moody)
    submit(scheduler, 1, tag="raise")
    (failed,) = gather(outcomes, 1).values()
    submit(scheduler, 2)
    (good,) = gather(outcomes, 1).values()
    assert isinstance(failed, PolicyFailed)
    assert "secret" not in str(failed)
    incident = str(failed).split()[-1]
    assert incident in caplog.text
    assert "secret path" in caplog.text
    assert isinstance(good, PolicyOutput)


def test_a_request_that_the_policy_refuses_does_not_cost_its_batch_mates_theirs(
    moody, start, submit, outcomes
):
    entered, go = threading.Event(), threading.Event()
    infer = moody.infer

    def infer_later(requests):
        entered.set()
        assert go.wait(WAIT_S)
        return infer(requests)

    scheduler = start(moody)
    moody.infer = infer_later
    submit(scheduler, 0)
    assert entered.wait(WAIT_S)
    for sequence, tag in enumerate(["", "refuse", ""], start=1):
        submit(scheduler, sequence, tag=tag)
    go.set()
    found = gather(outcomes, 4)
    assert isinstance(found[2], InvalidRequest)
    assert isinstance(found[1], PolicyOutput)
    assert isinstance(found[3], PolicyOutput)


@pytest.mark.parametrize("tag", ["nan", "short"])
def test_an_answer_that_a_robot_must_not_be_sent_is_an_incident(
    tag, moody, start, submit, outcomes, caplog
):
    submit(start(moody), tag=tag)
    (outcome,) = gather(outcomes, 1).values()
    assert isinstance(outcome, PolicyFailed)
    assert "BadOutput" in caplog.text


def test_every_batch_size_is_warmed_up_before_the_policy_is_ready(start):
    sizes = []

    class Recorder(HoldPolicy):
        def infer(self, requests):
            sizes.append(len(requests))
            return super().infer(requests)

    start(Recorder(dataclasses.replace(ALOHA_HOLD, max_batch=3)))
    assert sizes == [1, 2, 3]


def test_the_policy_is_made_and_run_in_one_thread(start, submit, outcomes):
    threads = set()

    class Recorder(HoldPolicy):
        def __init__(self):
            super().__init__()
            threads.add(threading.current_thread().name)

        def infer(self, requests):
            threads.add(threading.current_thread().name)
            return super().infer(requests)

    scheduler = Scheduler(Recorder)
    scheduler.start()
    scheduler.ready.result(WAIT_S)
    submit(scheduler)
    gather(outcomes, 1)
    assert threads == {"policy"}
    assert scheduler.close(WAIT_S)


def test_how_long_requests_will_take_is_told_by_the_latest_batches(submit, monkeypatch):
    moments = iter([0.0, 1.0, 5.0, 7.0])  # at which two batches begin and end
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: next(moments)))
    scheduler = Scheduler(HoldPolicy)
    assert scheduler.seconds_for(10) == 0
    scheduler.run_batch(HoldPolicy(), [submit(scheduler), submit(scheduler)])
    assert scheduler.seconds_for(10) == pytest.approx(1.0)  # a fifth of the 0.5 s of each
    scheduler.run_batch(HoldPolicy(), [submit(scheduler)])
    assert scheduler.seconds_for(10) == pytest.approx(4.8)  # 0.1, and a fifth of the way to 2 s


def test_a_policy_that_was_replaced_is_let_go(submit, outcomes):
    made = []

    def load():
        policy = HoldPolicy()
        made.append(weakref.ref(policy))
        return policy

    scheduler = Scheduler(load)
    scheduler.start()
    scheduler.ready.result(WAIT_S)
    submit(scheduler)
    gather(outcomes, 1)
    scheduler.replace(HoldPolicy())
    submit(scheduler)
    gather(outcomes, 1)
    (former,) = made
    wait_until(lambda: gc.collect() >= 0 and former() is None)  # the thread leaves its last call
    assert scheduler.close(WAIT_S)


def test_what_loading_raises_reaches_whoever_waits_for_the_policy():
    def load():
        raise InvalidRequest("checkpoint", "a folder", "nothing")

    scheduler = Scheduler(load)
    scheduler.start()
    with pytest.raises(InvalidRequest, match="a folder"):
        scheduler.ready.result(WAIT_S)


def test_closing_answers_what_waits_and_reports_a_policy_that_does_not_end(
    gated, start, submit, outcomes
):
    scheduler = start(gated)
    submit(scheduler, 1)
    gated.wait_until_busy()
    submit(scheduler, 2)
    assert not scheduler.close(0.01)
    ((sequence, outcome),) = gather(outcomes, 1).items()
    assert sequence == 2
    assert isinstance(outcome, ServerUnavailable)
    gated.let_through()
    assert set(gather(outcomes, 1)) == {1}


class ImprovingPolicy(HoldPolicy):
    """Says when it was told to improve itself, and fails the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.improved = queue.Queue()

    def run_idle_work(self):
        self.improved.put(threading.current_thread().name)
        if self.improved.qsize() == 1:
            raise RuntimeError("not this time")


def test_a_policy_improves_itself_in_its_own_thread_once_the_answers_are_out(
    start, submit, outcomes, caplog
):
    policy = ImprovingPolicy()
    scheduler = start(policy)
    assert policy.improved.empty()
    for sequence in range(3):
        submit(scheduler, sequence)
        (answer,) = gather(outcomes, 1).values()
        assert isinstance(answer, PolicyOutput)
    assert scheduler.close(WAIT_S)
    assert list(policy.improved.queue) == ["policy"] * 3
    assert "the policy's idle work failed" in caplog.text
