"""Trying again within a bound."""

import pytest
from handover_client.control import ChunkRequest
from handover_client.control.retries import Retries, request_with_retries
from handover_client.errors import ServerLost
from handover_proto.errors import InvalidRequest, Overloaded, ServerUnavailable
from handover_proto.types import Observation

from ..stand_ins import RampSource

GONE = ServerUnavailable("no server")
REQUEST = ChunkRequest(0, 0, Observation({}, {}, "task"))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_pauses_grow_up_to_a_second_and_never_pass_the_bound():
    clock = Clock()
    retries = Retries(7, bound_s=4.0, clock=clock)
    pauses = []
    while clock.now < 4.0:
        pauses.append(retries.pause_s(GONE))
        clock.now += pauses[-1]
    with pytest.raises(ServerLost, match="4 s"):
        retries.pause_s(GONE)
    assert pauses[:5] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert max(pauses) <= 1.0
    assert sum(pauses) == pytest.approx(4.0)
    outage = retries.summary(recovered=False)
    assert (outage.step, outage.failures, outage.lasted_s) == (7, len(pauses) + 1, 4.0)
    assert outage.error == "ServerUnavailable: no server"


def test_an_overloaded_server_is_left_alone_as_long_as_it_asks():
    full, busy = (Overloaded("full", retry_after_s=seconds) for seconds in (2.5, 0.0))
    assert Retries(0, 10.0).pause_s(full) == 2.5
    assert Retries(0, 10.0).pause_s(busy) == 0.05  # never sooner than another one
    assert Retries(0, 2.0, clock=Clock()).pause_s(full) == 2.0  # nor past the bound


def test_an_outage_is_told_by_its_first_error():
    retries = Retries(0, 10.0)
    retries.pause_s(GONE)
    retries.pause_s(Overloaded("full", retry_after_s=1.0))
    assert retries.summary(recovered=True).error == "ServerUnavailable: no server"


def test_a_source_that_recovers_gives_its_answer():
    def trouble(call):
        if call < 3:
            raise GONE

    source, retries = RampSource(trouble=trouble), Retries(0, 60.0)
    answer = request_with_retries(source, REQUEST, retries)
    assert answer.targets.shape == (16, 14)
    assert retries.failures == 2


def test_an_error_that_would_come_again_is_raised_at_once():
    def trouble(call):
        raise InvalidRequest("state", "7 values", "6")

    source = RampSource(trouble=trouble)
    with pytest.raises(InvalidRequest):
        request_with_retries(source, REQUEST, Retries(0, 60.0))
    assert len(source.requests) == 1
