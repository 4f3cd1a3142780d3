"""Sixty-four clients at once, one of which sends garbage."""

import asyncio
import contextlib
import itertools

import grpc
import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_proto.types import PolicyRequest
from handover_proto.wire.messages import serialize_request

from .ledger import ANSWERED
from .robots import observation

CLIENTS, REQUESTS, DEADLINE_S = 63, 4, 120.0
INFER = "/handover.policy.v1.PolicyService/Infer"
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)  # else clients share one connection


async def _ask(channel, ledger, message) -> None:
    request = type(message)()
    request.CopyFrom(message)
    for _ in range(REQUESTS):
        request.sequence = sequence = ledger.send(DEADLINE_S)
        try:
            reply = await PolicyServiceStub(channel).Infer(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            ledger.tell(sequence, error.code().name)
        else:
            ledger.tell(reply.sequence, ANSWERED)


async def _spam(channel, others_done) -> int:
    random = np.random.default_rng(0)
    call = channel.unary_unary(INFER)
    for sent in itertools.count(1):
        data = random.integers(0, 256, random.integers(1, 200_000), np.uint8).tobytes()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call(data, timeout=DEADLINE_S)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        if others_done.is_set():
            return sent
    raise AssertionError("there is no last number")


async def _crowd(address, ledger) -> int:
    whole = serialize_request(PolicyRequest(observation(), seed=1))
    message = pb.InferRequest.FromString(whole)
    others_done = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=OF_ITS_OWN))
            for _ in range(CLIENTS + 1)
        ]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        spam = asyncio.create_task(_spam(channels[0], others_done))
        await asyncio.gather(*(_ask(channel, ledger, message) for channel in channels[1:]))
        others_done.set()
        return await spam


def test_one_that_sends_garbage_among_sixty_four_costs_the_others_nothing(server, ledger, report):
    refused = asyncio.run(asyncio.wait_for(_crowd(server.address, ledger), 4 * DEADLINE_S))
    finding = ledger.finding(
        "64 clients, one sends garbage",
        f"63 connections with {REQUESTS} raw frames each at once, one with random bytes meanwhile",
        remark=f"{refused} garbage messages, each INVALID_ARGUMENT",
    )
    report(finding)
    assert finding.outcomes == {ANSWERED: CLIENTS * REQUESTS}
    assert refused > 0
