"""Who is let in when there is not room for everybody."""

import asyncio

import pytest
from handover_proto.contract import Limits, ServerInfo
from handover_proto.errors import Overloaded
from handover_server.intake import Bounds, Intake
from handover_server.message_guard import RequestHead
from handover_server.policies import ALOHA_HOLD, HoldPolicy
from handover_server.scheduler import Scheduler
from handover_server.security import Identity
from handover_server.ticket import Lane

FIRST, SECOND, THIRD = (Identity(name) for name in ("first", "second", "third"))


@pytest.fixture
def admitted(message):
    """admitted(bounds, clients) lets each in turn ask until all are refused: {client: requests}.

    Nothing is answered meanwhile: the policy's thread is never started.
    """
    data = message().SerializeToString()

    async def ask(bounds, *rounds):
        intake = Intake(ServerInfo(ALOHA_HOLD, Limits()), Scheduler(HoldPolicy), bounds, 0)
        counts = {}
        under_way = []
        for clients in rounds:
            asking = set(clients)
            while asking:
                for client in sorted(asking, key=lambda each: each.name):
                    try:
                        entered = intake.enter(data, RequestHead(), Lane(client), None)
                    except Overloaded:
                        asking.remove(client)
                    else:
                        under_way.append(entered)
                        counts[client] = counts.get(client, 0) + 1
        for entered in under_way:
            entered.cancel()
        return counts

    return lambda bounds, *rounds: asyncio.run(ask(bounds, *rounds))


def test_two_that_flood_leave_room_for_a_third(admitted):
    counts = admitted(Bounds(requests=64, client_requests=32), [FIRST, SECOND], [THIRD])
    assert counts[FIRST] == counts[SECOND] == 22
    assert counts[THIRD] >= 8


def test_who_is_alone_has_what_a_client_may_have(admitted):
    assert admitted(Bounds(requests=64, client_requests=64), [FIRST]) == {FIRST: 64}
    assert admitted(Bounds(requests=64, client_requests=32), [FIRST]) == {FIRST: 32}


def test_as_many_clients_as_there_is_room_for_get_in_with_one_request_each(admitted):
    clients = [Identity(f"{number:02}") for number in range(16)]
    counts = admitted(Bounds(requests=16), *[[client] for client in clients[:15]], clients[15:])
    assert set(counts) <= set(clients)
    assert sum(counts.values()) == 16
