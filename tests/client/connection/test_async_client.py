"""The asyncio client: the same answers, deadlines and errors as the blocking one."""

import asyncio
import threading

import grpc
import numpy as np
import pytest
from handover_client import AsyncPolicyClient, PolicyClient
from handover_client.errors import InvalidReply, WrongProtocol
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    ServerUnavailable,
    Superseded,
)
from handover_proto.types import Limits, ServerInfo
from handover_proto.wire import ERROR_METADATA_KEY, encode_error, encode_info


def test_the_async_chunk_is_the_blocking_clients(start_server, observation):
    server = start_server()

    async def ask():
        async with await AsyncPolicyClient.connect(server.address, timeout_s=60) as client:
            return await client.infer(observation, seed=3, sequence=5, client_tag="t")

    chunk = asyncio.run(ask())
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        other = client.infer(observation, seed=3, sequence=5, client_tag="t")
    for name in other.action:
        np.testing.assert_array_equal(chunk.action[name], other.action[name])
    assert (chunk.sequence, chunk.client_tag, chunk.seed) == (5, "t", 3)


def test_two_async_requests_are_under_way_at_once(start_server, observation):
    both = threading.Barrier(2, timeout=60)

    def meet(request, context):
        both.wait()
        return pb.InferReply()

    server = start_server(answer=meet)

    async def ask():
        async with await AsyncPolicyClient.connect(server.address, timeout_s=60) as client:
            return await asyncio.gather(
                client.infer(observation), client.infer(observation), return_exceptions=True
            )

    assert [type(result) for result in asyncio.run(ask())] == [InvalidReply, InvalidReply]


def test_async_connect_refuses_nobody_and_strangers(start_server, spec):
    async def connect(address, timeout_s):
        await AsyncPolicyClient.connect(address, timeout_s=timeout_s)

    with pytest.raises(ServerUnavailable, match=r"no server ready at 127\.0\.0\.1:1 within 0\.2"):
        asyncio.run(connect("127.0.0.1:1", 0.2))
    server = start_server(info=encode_info(ServerInfo(spec, Limits(), protocol_version=9)))
    with pytest.raises(WrongProtocol, match="version 9"):
        asyncio.run(connect(server.address, 60))


def test_async_deadlines_and_errors_are_typed(start_server, observation):
    released = threading.Event()

    def answer(request, context):
        if request.sequence == 0:
            released.wait(120)
        detail = encode_error(Overloaded("full", 0.5)).SerializeToString()
        context.set_trailing_metadata(((ERROR_METADATA_KEY, detail),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    server = start_server(answer=answer)

    async def ask():
        async with await AsyncPolicyClient.connect(server.address, timeout_s=60) as client:
            with pytest.raises(DeadlinePassed):
                await client.infer(observation, timeout_s=0.2)
            with pytest.raises(Overloaded) as caught:
                await client.infer(observation, sequence=1)
            assert caught.value.retry_after_s == 0.5

    asyncio.run(ask())
    released.set()


def test_an_async_stream_answers_and_supersedes(start_server, observation):
    server = start_server()

    async def ask():
        async with (
            await AsyncPolicyClient.connect(server.address, timeout_s=60) as client,
            client.stream() as stream,
        ):
            # three at once, before the loop is free: only the last one leaves
            for sequence in (1, 2, 3):
                stream.send(observation, sequence=sequence)
            answers = [await stream.receive(timeout_s=60) for _ in range(3)]
            with pytest.raises(InvalidRequest):
                stream.send(observation, sequence=-1)
            with pytest.raises(DeadlinePassed):
                await stream.receive(timeout_s=0.05)
            stream.send(observation, sequence=4)
            return [*answers, await stream.receive(timeout_s=60)]

    answers = asyncio.run(ask())
    assert [answer.sequence for answer in answers] == [1, 2, 3, 4]
    assert [type(answer.error) for answer in answers[:2]] == [Superseded, Superseded]
    assert [call.sequence for call in server.servicer.calls] == [3, 4]


def test_an_async_stream_ends_with_its_server(start_server, observation):
    released = threading.Event()

    def stuck(request, context):
        released.wait(120)
        return pb.InferReply()

    server = start_server(answer=stuck)

    async def ask():
        async with (
            await AsyncPolicyClient.connect(server.address, timeout_s=60) as client,
            client.stream() as stream,
        ):
            stream.send(observation, sequence=0)
            await asyncio.sleep(0.1)
            server.server.stop(0)
            for _ in range(2):
                with pytest.raises(ServerUnavailable):
                    await stream.receive(timeout_s=60)
            with pytest.raises(ServerUnavailable):
                stream.send(observation, sequence=1)

    asyncio.run(ask())
    released.set()


def test_a_closed_async_client_says_so_even_to_calls_under_way(start_server, observation):
    released = threading.Event()

    def stuck(request, context):
        released.wait(120)
        return pb.InferReply()

    server = start_server(answer=stuck)

    async def ask():
        client = await AsyncPolicyClient.connect(server.address, timeout_s=60)
        call = asyncio.ensure_future(client.infer(observation, timeout_s=60))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(ServerUnavailable, match="was closed"):
            await call
        with pytest.raises(ServerUnavailable, match="was closed"):
            await client.infer(observation)
        with pytest.raises(ServerUnavailable, match="was closed"):
            client.stream()

    asyncio.run(ask())
    released.set()


def test_an_async_stream_is_opened_again_when_its_server_is_back(start_server, observation):
    server = start_server()

    async def answer_to(stream, sequence):
        stream.send(observation, sequence=sequence)
        answer = await stream.receive(timeout_s=60)
        assert answer.sequence == sequence
        return answer

    async def ask():
        async with (
            await AsyncPolicyClient.connect(server.address, timeout_s=60) as client,
            client.stream(reopen_within_s=60) as stream,
        ):
            assert (await answer_to(stream, 0)).chunk is not None
            await asyncio.to_thread(server.server.stop(grace=0).wait, 60)
            for sequence in (1, 2):
                error = (await answer_to(stream, sequence)).error
                assert "being opened again" in str(error)
            start_server(port=server.port)
            sequence = 3
            while (await answer_to(stream, sequence)).chunk is None:
                sequence += 1

    asyncio.run(asyncio.wait_for(ask(), 120))


def test_an_async_stream_waits_within_its_bound_and_can_be_closed_before(start_server):
    server = start_server()

    async def ask():
        async with await AsyncPolicyClient.connect(server.address, timeout_s=60) as client:
            brief, patient = client.stream(reopen_within_s=0.2), client.stream(reopen_within_s=1e6)
            await asyncio.to_thread(server.server.stop(grace=0).wait, 60)
            with pytest.raises(ServerUnavailable, match=r"no server ready at .* within 0\.2 s"):
                await brief.receive(timeout_s=60)
            other = client.stream(reopen_within_s=1e6)
            for stream in (brief, patient):
                await stream.close()
        for stream in (patient, other):  # the other one by its client's end
            with pytest.raises(ServerUnavailable):
                await stream.receive(timeout_s=60)

    asyncio.run(asyncio.wait_for(ask(), 120))
