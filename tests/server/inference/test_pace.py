"""Beside others, who sends more than its share gets its answers later."""

from handover_server.inference.pace import Pace

MIB = 1 << 20


def test_who_is_alone_never_waits():
    pace = Pace(requests_per_s=10, bytes_per_s=MIB)
    assert [pace.wait_s("first", MIB, 0.001 * turn) for turn in range(50)] == [0.0] * 50


def test_beside_another_the_answers_come_at_the_rate_and_no_faster():
    pace = Pace(requests_per_s=10, bytes_per_s=1e12)
    pace.wait_s("other", 0, 0.0)
    waits = [round(pace.wait_s("first", 0, 0.0), 6) for _ in range(4)]
    assert waits == [0.0, 0.1, 0.2, 0.3]
    assert pace.wait_s("other", 0, 0.1) == 0.0
    assert round(pace.wait_s("first", 0, 0.25), 6) == 0.15


def test_bytes_count_as_requests_do():
    pace = Pace(requests_per_s=1e9, bytes_per_s=2 * MIB)
    pace.wait_s("other", 0, 0.0)
    assert pace.wait_s("first", MIB, 0.0) == 0.0
    assert round(pace.wait_s("first", 0, 0.0), 3) == 0.5


def test_once_the_others_are_gone_nothing_is_held_back():
    pace = Pace(requests_per_s=1, bytes_per_s=1e12)
    pace.wait_s("other", 0, 0.0)
    pace.wait_s("first", 0, 0.0)
    assert pace.wait_s("first", 0, 0.5) == 0.5
    assert pace.wait_s("first", 0, 1.2) == 0.0


def test_no_answer_is_held_for_long():
    pace = Pace(requests_per_s=0.01, bytes_per_s=1e12)
    pace.wait_s("other", 0, 0.0)
    pace.wait_s("first", 0, 0.0)
    assert pace.wait_s("first", 0, 0.0) == 5.0
