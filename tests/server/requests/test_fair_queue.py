"""Clients take turns, lanes go in order of arrival, and in a lane the newest request counts."""

import gc
import threading
import types
import weakref

import pytest
from handover_proto.errors import ServerUnavailable, Superseded
from handover_server.requests import fair_queue as module
from handover_server.requests.fair_queue import FairQueue
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity


@pytest.fixture
def outcomes():
    return {}


@pytest.fixture
def pending(outcomes):
    def make(sequence, lane=None):
        return PendingRequest(
            b"",
            RequestHead(sequence),
            lane or Lane(),
            None,
            lambda o: outcomes.update({sequence: o}),
        )

    return make


def test_different_lanes_leave_in_the_order_in_which_they_came(pending):
    queue = FairQueue()
    tickets = [pending(n) for n in range(5)]
    for each in tickets:
        queue.put(each)
    assert queue.take(2) == tickets[:2]
    assert queue.take(10) == tickets[2:]


def test_a_newer_ticket_takes_the_place_of_its_lanes_older_one(pending, outcomes):
    queue, lane = FairQueue(), Lane()
    old, other, new = pending(1, lane), pending(2), pending(3, lane)
    for each in (old, other, new):
        queue.put(each)
    assert queue.take(10) == [new, other]
    assert isinstance(outcomes.pop(1), Superseded)
    assert not outcomes


def test_the_error_of_a_superseded_ticket_names_the_newer_sequence(pending, outcomes):
    queue, lane = FairQueue(), Lane()
    queue.put(pending(1, lane))
    queue.put(pending(42, lane))
    assert "sequence 42" in str(outcomes[1])


def test_a_ticket_that_comes_after_a_newer_one_of_its_lane_loses(pending, outcomes):
    queue, lane = FairQueue(), Lane()
    old, new = pending(1, lane), pending(2, lane)
    queue.put(new)
    assert queue.take(1) == [new]
    queue.put(old)
    assert len(queue) == 0
    assert isinstance(outcomes[1], Superseded)


def test_what_is_discarded_is_not_taken(pending, outcomes):
    queue = FairQueue()
    one, two = pending(1), pending(2)
    queue.put(one)
    queue.put(two)
    queue.discard(one)
    queue.discard(one)
    assert queue.take(5) == [two]
    assert not outcomes


def test_closing_tells_those_who_wait_and_lets_the_threads_go(pending, outcomes):
    queue = FairQueue()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(queue.take(1)))
    thread.start()
    queue.put(pending(1))
    thread.join(60)
    queue.put(pending(2))
    queue.close()
    queue.put(pending(3))
    assert queue.take(1) == []
    assert [t.sequence for t in taken[0]] == [1]
    assert isinstance(outcomes.pop(2), ServerUnavailable)
    assert isinstance(outcomes.pop(3), ServerUnavailable)
    assert not outcomes


def test_a_queue_keeps_nothing_of_the_lanes_that_went_through_it(pending):
    queue, lane = FairQueue(), Lane()
    seen = weakref.ref(lane)
    queue.put(pending(1, lane))
    queue.put(pending(2, lane))
    queue.take(1)
    del lane
    gc.collect()
    assert seen() is None


def test_a_client_that_floods_waits_for_itself_alone(pending):
    queue, flooder, slow = FairQueue(), Identity("flooder"), Identity("slow")
    for sequence in range(6):
        queue.put(pending(sequence, Lane(flooder)))
    queue.put(pending(100, Lane(slow)))
    assert [t.sequence for t in queue.take(2)] == [0, 100]
    queue.put(pending(101, Lane(slow)))
    assert [t.sequence for t in queue.take(4)] == [1, 101, 2, 3]
    assert len(queue) == 2


def test_clients_take_turns_whatever_the_size_of_a_batch(pending):
    queue = FairQueue()
    for client in range(3):
        for place in range(client + 1):
            queue.put(pending(10 * client + place, Lane(Identity(f"client {client}"))))
    taken = [t.sequence for _ in range(6) for t in queue.take(1)]
    assert taken == [0, 10, 20, 11, 21, 22]


def test_within_a_window_a_batch_waits_until_it_is_full(pending):
    queue, batches = FairQueue(), []
    thread = threading.Thread(target=lambda: batches.append(queue.take(3, window_s=60)))
    thread.start()
    for sequence in range(3):
        queue.put(pending(sequence))
    thread.join(60)
    assert [[t.sequence for t in batch] for batch in batches] == [[0, 1, 2]]


def test_after_its_window_a_batch_goes_as_it_is(pending):
    queue = FairQueue()
    queue.put(pending(1))
    assert [t.sequence for t in queue.take(3, window_s=0.001)] == [1]


def test_what_is_withdrawn_within_the_window_does_not_end_the_queue(pending, monkeypatch):
    class Condition(threading.Condition):
        def wait(self, timeout_s=None):
            meanwhile.pop(0)()

    monkeypatch.setattr(module, "threading", types.SimpleNamespace(Condition=Condition))
    queue, withdrawn, later = FairQueue(), pending(1), pending(2)
    queue.put(withdrawn)
    meanwhile = [lambda: queue.discard(withdrawn), lambda: queue.put(later), lambda: None]
    assert queue.take(3, window_s=0.001) == [later]
