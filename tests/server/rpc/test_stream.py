"""InferStream: the newest observation wins, each request is answered, and bad ones end nothing."""

import asyncio
import contextlib
import gc
import queue
import time
import weakref
from collections.abc import AsyncIterator

import grpc
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    PolicyFailed,
    ServerUnavailable,
    Superseded,
)
from handover_proto.types import Limits, ServerInfo
from handover_proto.wire.messages import decode_chunk
from handover_server.inference.admission import Admission
from handover_server.inference.scheduler import Scheduler
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import HoldPolicy
from handover_server.requests.observer import Observer
from handover_server.requests.request import Lane
from handover_server.rpc.stream import StreamSession

from ..conftest import Kept

TIMEOUT_S = 60


class Stream:
    """A client's end of a stream, on bytes."""

    def __init__(self, server):
        self._outbox = queue.Queue()
        call = server.channel.stream_stream("/handover.policy.v1.PolicyService/InferStream")
        self.replies = call(iter(self._outbox.get, None), timeout=TIMEOUT_S)

    def send(self, request):
        data = request if isinstance(request, bytes) else request.SerializeToString()
        self._outbox.put(data)

    def receive(self):
        return pb.InferReply.FromString(next(self.replies))

    def close(self):
        self._outbox.put(None)
        return [pb.InferReply.FromString(reply) for reply in self.replies]


class Faulty(Observer):
    """Fails where a chunk is made into a message, which no observer may."""

    faults = 1

    def encoded(self, duration_ms):
        if self.faults:
            raise RuntimeError("secret path")


def failure(reply):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at its type
        decode_chunk(reply)
    return caught.value


def test_a_stream_answers_in_turn(serve, noise, message):
    stream = Stream(serve(noise))
    for sequence in (3, 7, 8):
        stream.send(message(sequence=sequence, seed=1, client_tag="tag"))
        chunk = decode_chunk(stream.receive())
        assert (chunk.sequence, chunk.client_tag, chunk.seed) == (sequence, "tag", 1)
    assert stream.close() == []


def test_a_newer_observation_supersedes_the_one_that_waits(serve, gated, message):
    stream = Stream(serve(gated))
    stream.send(message(sequence=1))
    gated.wait_until_busy()
    for sequence in (2, 3, 4):
        stream.send(message(sequence=sequence))
    told = [stream.receive(), stream.receive()]  # at once, while the policy is busy with 1
    assert sorted(reply.sequence for reply in told) == [2, 3]  # 2 may be decoded when 3 goes
    for reply in told:
        assert reply.error.status == grpc.StatusCode.ABORTED.value[0]
        assert isinstance(failure(reply), Superseded)
        assert "sequence" in reply.error.message
        assert not reply.action
    gated.let_through(2)
    assert [decode_chunk(stream.receive()).sequence for _ in range(2)] == [1, 4]
    assert gated.sequences == [[1], [4]]
    assert stream.close() == []


@pytest.mark.parametrize(
    "limits", [AdmissionLimits(requests=2), AdmissionLimits(client_requests=2)]
)
def test_on_a_full_server_too_the_newest_observation_wins(serve, gated, message, limits):
    server = serve(gated, limits=limits)
    stream = Stream(server)
    stream.send(message(sequence=1))
    gated.wait_until_busy()
    for sequence in (2, 3, 4):
        server.wait_until_in_flight(min(sequence - 1, 2))
        stream.send(message(sequence=sequence))
        if sequence > 2:
            reply = stream.receive()
            assert reply.sequence == sequence - 1
            assert isinstance(failure(reply), Superseded)
    gated.let_through(2)
    assert [decode_chunk(stream.receive()).sequence for _ in range(2)] == [1, 4]
    assert stream.close() == []


def test_on_a_full_server_what_the_policy_computes_makes_no_room(serve, gated, message):
    stream = Stream(serve(gated, limits=AdmissionLimits(requests=1)))
    stream.send(message(sequence=1))
    gated.wait_until_busy()
    stream.send(message(sequence=2))
    reply = stream.receive()
    assert reply.sequence == 2
    assert isinstance(failure(reply), Overloaded)
    gated.let_through()
    assert decode_chunk(stream.receive()).sequence == 1
    assert stream.close() == []


def test_streams_do_not_supersede_each_other(serve, gated, message):
    server = serve(gated)
    one, other = Stream(server), Stream(server)
    one.send(message(sequence=1))
    gated.wait_until_busy()
    one.send(message(sequence=2))
    other.send(message(sequence=3))
    gated.let_through(3)
    assert [decode_chunk(one.receive()).sequence for _ in range(2)] == [1, 2]
    assert decode_chunk(other.receive()).sequence == 3


def test_a_stream_outlives_bad_requests(serve, moody, message):
    stream = Stream(serve(moody))
    broken = message(sequence=2, client_tag="left")
    broken.observation.task = " "
    stream.send(broken)
    reply = stream.receive()
    error = failure(reply)
    assert isinstance(error, InvalidRequest)
    assert (reply.sequence, reply.client_tag, error.field) == (2, "left", "observation.task")
    stream.send(b"\x18\x03\xff")  # sequence 3, then nonsense
    reply = stream.receive()
    assert isinstance(failure(reply), InvalidRequest)
    assert reply.sequence == 3
    stream.send(message(sequence=4, client_tag="raise"))
    assert isinstance(failure(stream.receive()), PolicyFailed)
    stream.send(message(sequence=5))
    assert decode_chunk(stream.receive()).sequence == 5


def test_a_reply_that_cannot_be_made_is_an_error_and_the_stream_goes_on(serve, message):
    observer = Faulty()
    stream = Stream(serve(HoldPolicy(), observer=observer))
    stream.send(message(sequence=1))
    reply = stream.receive()
    assert reply.sequence == 1
    assert isinstance(failure(reply), PolicyFailed)
    observer.faults = 0
    stream.send(message(sequence=2))
    assert decode_chunk(stream.receive()).sequence == 2


def test_a_tag_that_is_too_long_is_refused_and_not_sent_back_whole(serve, noise, message):
    stream = Stream(serve(noise))
    tag = b"\x22\x80\x80\x80\x06" + (12 << 20) * b"\xff"  # field 4; no text: three bytes for each
    stream.send(message(sequence=1).SerializeToString() + tag)
    reply = stream.receive()
    assert isinstance(failure(reply), InvalidRequest)
    assert reply.sequence == 1
    assert reply.ByteSize() < 4096
    stream.send(message(sequence=2))
    assert decode_chunk(stream.receive()).sequence == 2


def test_every_request_of_a_flood_is_answered_once(serve, noise, message):
    stream = Stream(serve(noise))
    for sequence in range(200):
        stream.send(message(sequence=sequence))
    replies = stream.close()
    assert sorted(reply.sequence for reply in replies) == list(range(200))
    answered = [reply.sequence for reply in replies if not reply.HasField("error")]
    assert answered == sorted(answered)
    assert 199 in answered
    superseded = [reply.error.status for reply in replies if reply.HasField("error")]
    assert set(superseded) <= {grpc.StatusCode.ABORTED.value[0]}


def test_what_a_client_leaves_behind_is_not_computed(serve, gated, message):
    server = serve(gated)
    stream = Stream(server)
    stream.send(message(sequence=1))
    gated.wait_until_busy()
    stream.send(message(sequence=2))
    server.wait_until_in_flight(2)
    stream.replies.cancel()
    server.wait_until_in_flight(0)
    other = server.stub.Infer.future(message(sequence=3), timeout=TIMEOUT_S)
    gated.let_through(10)
    assert other.result().sequence == 3
    assert [2] not in gated.sequences


def test_a_draining_server_answers_what_is_under_way_and_ends_the_stream(
    serve, gated, message, typed_error
):
    server = serve(gated)
    stream, idle = Stream(server), Stream(server)
    idle.send(b"")
    idle.receive()
    stream.send(message(sequence=1))
    gated.wait_until_busy()
    server.loop.call_soon_threadsafe(server.server.stop_admitting)
    with pytest.raises(grpc.RpcError) as caught:
        idle.receive()
    assert isinstance(typed_error(caught.value), ServerUnavailable)
    gated.let_through()
    assert decode_chunk(stream.receive()).sequence == 1
    with pytest.raises(grpc.RpcError) as caught:
        stream.receive()
    assert isinstance(typed_error(caught.value), ServerUnavailable)


def test_a_client_has_a_bounded_number_of_streams(serve, noise, message, typed_error):
    server = serve(noise, limits=AdmissionLimits(client_streams=1))
    first = Stream(server)
    first.send(message(sequence=1))
    assert first.receive().sequence == 1
    second = Stream(server)
    with pytest.raises(grpc.RpcError) as caught:
        second.receive()
    assert isinstance(typed_error(caught.value), Overloaded)
    assert first.close() == []
    third = Stream(server)
    third.send(message(sequence=3))
    assert third.receive().sequence == 3


def test_in_a_stream_too_a_request_that_got_too_old_is_dropped(serve, gated, door, message):
    server = serve(gated, observer=door)
    busy, stream = Stream(server), Stream(server)
    busy.send(message(sequence=1))
    gated.wait_until_busy()
    stream.send(message(sequence=2, max_age_ms=1))
    door.wait_for(1, 2)
    time.sleep(0.01)  # more than the greatest age
    gated.let_through(10)
    assert isinstance(failure(stream.receive()), DeadlinePassed)
    assert [2] not in gated.sequences


@contextlib.asynccontextmanager
async def held_session(client) -> AsyncIterator[StreamSession]:
    """A stream's session with a policy that holds still, without gRPC: `client` gets its writes."""
    scheduler = Scheduler(HoldPolicy)
    scheduler.start()
    spec = await asyncio.wrap_future(scheduler.ready)
    admission = Admission(ServerInfo(spec, Limits()), scheduler, AdmissionLimits(), 0)
    try:
        yield StreamSession(admission, Lane(), client, None, lambda size: None)
    finally:
        scheduler.close(TIMEOUT_S)


def test_a_request_also_ages_while_its_client_does_not_read(message):
    replies = {}

    async def converse():
        reads = asyncio.Event()

        class Client:
            async def write(self, data):
                await reads.wait()
                reply = pb.InferReply.FromString(data)
                replies[reply.sequence] = reply

        async def requests():
            for sequence in range(8):  # as many as a stream may have unanswered
                yield message(sequence=sequence).SerializeToString()
            asyncio.get_running_loop().call_later(0.05, reads.set)
            yield message(sequence=8, max_age_ms=1).SerializeToString()

        async with held_session(Client()) as session:
            await session.run(requests())

    asyncio.run(asyncio.wait_for(converse(), TIMEOUT_S))
    assert set(replies) == set(range(9))
    assert isinstance(failure(replies[8]), DeadlinePassed)


def test_a_stream_that_idles_holds_nothing_of_what_it_answered(message):
    async def converse():
        answered = asyncio.Event()

        class Client:
            async def write(self, data):
                answered.set()

        async def requests():
            data = Kept(message().SerializeToString())
            carried = weakref.ref(data.carried)
            yield data
            del data
            await answered.wait()
            while gc.collect() >= 0 and carried() is not None:  # the policy's thread goes on first
                await asyncio.sleep(0.001)
            assert session.in_flight == set()

        async with held_session(Client()) as session:
            await session.run(requests())

    asyncio.run(asyncio.wait_for(converse(), TIMEOUT_S))
