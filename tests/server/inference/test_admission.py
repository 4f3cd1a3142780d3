"""Who is let in when there is not room for everybody, and what is left of those who go."""

import asyncio

import pytest
from handover_proto.errors import Overloaded, ServerUnavailable
from handover_proto.types import ImageCodec, Limits, Observation, PolicyRequest, ServerInfo
from handover_proto.wire.codec import compress
from handover_proto.wire.messages import serialize_request
from handover_server.inference.admission import Admission
from handover_server.inference.scheduler import Scheduler
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.request import Lane
from handover_server.requests.wire_head import RequestHead
from handover_server.security.tokens import Identity

FIRST, SECOND, THIRD = (Identity(name) for name in ("first", "second", "third"))
INFO = ServerInfo(ALOHA_HOLD, Limits())


@pytest.fixture
def admitted(message):
    """admitted(limits, clients) lets each in turn ask until all are refused: {client: requests}.

    Nothing is answered meanwhile: the policy's thread is never started.
    """
    data = message().SerializeToString()

    async def ask(limits, *rounds):
        admission = Admission(INFO, Scheduler(HoldPolicy), limits, 0)
        counts = {}
        in_flight = []
        for clients in rounds:
            asking = set(clients)
            while asking:
                for client in sorted(asking, key=lambda each: each.name):
                    try:
                        entered = admission.admit(data, RequestHead(), Lane(client), None)
                    except Overloaded:
                        asking.remove(client)
                    else:
                        in_flight.append(entered)
                        counts[client] = counts.get(client, 0) + 1
        for entered in in_flight:
            entered.cancel()
        return counts

    return lambda limits, *rounds: asyncio.run(ask(limits, *rounds))


def test_two_that_flood_leave_room_for_a_third(admitted):
    counts = admitted(AdmissionLimits(requests=64, client_requests=32), [FIRST, SECOND], [THIRD])
    assert counts[FIRST] == counts[SECOND] == 22
    assert counts[THIRD] >= 8


def test_who_is_alone_has_what_a_client_may_have(admitted):
    assert admitted(AdmissionLimits(requests=64, client_requests=64), [FIRST]) == {FIRST: 64}
    assert admitted(AdmissionLimits(requests=64, client_requests=32), [FIRST]) == {FIRST: 32}


def test_as_many_clients_as_there_is_room_for_get_in_with_one_request_each(admitted):
    clients = [Identity(f"{number:02}") for number in range(16)]
    assert admitted(AdmissionLimits(requests=16), clients) == dict.fromkeys(clients, 1)


def test_each_refusal_is_counted_by_its_word(message, refusals):
    data = message().SerializeToString()

    async def be_refused():
        limits = AdmissionLimits(requests=2, client_requests=1, client_streams=1)
        admission = Admission(INFO, Scheduler(HoldPolicy), limits, 0, refusals)

        def ask(client):
            return admission.admit(data, RequestHead(), Lane(client), None)

        with admission.stream(FIRST), pytest.raises(Overloaded), admission.stream(FIRST):
            pass
        in_flight = [ask(FIRST)]
        with pytest.raises(Overloaded):
            ask(FIRST)
        in_flight.append(ask(SECOND))
        with pytest.raises(Overloaded):
            ask(THIRD)
        admission.suspend("the policy is stuck")
        assert admission.status == "the policy is stuck"
        with pytest.raises(ServerUnavailable, match="is stuck"):
            ask(THIRD)
        admission.resume()
        assert admission.status == "serving"
        admission.close()
        with pytest.raises(ServerUnavailable, match="shutting down"):
            ask(THIRD)
        for entered in in_flight:
            entered.cancel()

    words = ["client_streams", "client_requests", "requests", "stuck", "draining"]
    asyncio.run(be_refused())
    assert refusals.words == words


def test_no_queue_holds_on_to_a_request_whose_client_went_away(message, observation):
    frame = compress(observation.cameras["ego_view"][0], ImageCodec.PNG)
    compressed = Observation({"ego_view": [frame]}, observation.state, observation.task)
    requests = (message().SerializeToString(), serialize_request(PolicyRequest(compressed)))

    async def go_away():
        admission = Admission(
            INFO, Scheduler(HoldPolicy), AdmissionLimits(), 0
        )  # no thread takes anything
        idle, in_flight = admission.levels(), []
        for data in requests:
            head = RequestHead()
            admission.read_head(head, data)
            in_flight.append(admission.admit(data, head, Lane(FIRST), None))
        busy = admission.levels()
        assert (busy["decode_queue_depth"], busy["queue_depth"]) == (1, 1)
        for entered in in_flight:
            entered.cancel()
        await asyncio.sleep(0)  # the loop calls back what waits for the futures
        assert admission.levels() == idle

    asyncio.run(go_away())
