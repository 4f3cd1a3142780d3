"""Sixty-four clients at once, one of which sends garbage."""

import asyncio
import itertools

import grpc
import numpy as np
import pytest
from handover_proto.contract import PolicyRequest
from handover_proto.messages import encode_request
from handover_proto.policy_pb2_grpc import PolicyServiceStub

from .ledger import ANSWERED
from .robots import observation

CLIENTS, REQUESTS, DEADLINE_S = 63, 4, 30.0
INFER = "/handover.policy.v1.PolicyService/Infer"
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)  # else clients share one connection


async def _ask(address, ledger, message, start) -> None:
    async with grpc.aio.insecure_channel(address, options=OF_ITS_OWN) as channel:
        await channel.channel_ready()
        await start.wait()
        for _ in range(REQUESTS):
            sequence = ledger.send(DEADLINE_S)
            request = type(message)()
            request.CopyFrom(message)
            request.sequence = sequence
            try:
                reply = await PolicyServiceStub(channel).Infer(request, timeout=DEADLINE_S)
                assert reply.sequence == sequence
                ledger.tell(sequence, ANSWERED)
            except grpc.aio.AioRpcError as error:
                ledger.tell(sequence, error.code().name)


async def _spam(address, start, done) -> int:
    random = np.random.default_rng(0)
    await start.wait()
    async with grpc.aio.insecure_channel(address, options=OF_ITS_OWN) as channel:
        call = channel.unary_unary(INFER)
        for sent in itertools.count():
            if done.is_set():
                return sent
            data = random.integers(0, 256, random.integers(1, 200_000), np.uint8).tobytes()
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call(data, timeout=DEADLINE_S)
            assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def _crowd(address, ledger) -> int:
    message = encode_request(PolicyRequest(observation(), seed=1))
    start, done = asyncio.Event(), asyncio.Event()
    spam = asyncio.create_task(_spam(address, start, done))
    clients = [asyncio.create_task(_ask(address, ledger, message, start)) for _ in range(CLIENTS)]
    start.set()
    await asyncio.gather(*clients)
    done.set()
    return await spam


def test_one_that_sends_garbage_among_sixty_four_costs_the_others_nothing(server, ledger, report):
    refused = asyncio.run(_crowd(server.address, ledger))
    finding = ledger.finding(
        "64 clients, one sends garbage",
        f"63 connections with {REQUESTS} raw frames each at once, one with random bytes meanwhile",
        remark=f"{refused} garbage messages, each INVALID_ARGUMENT",
    )
    report(finding)
    assert finding.outcomes == {ANSWERED: CLIENTS * REQUESTS}
    assert refused > 0
