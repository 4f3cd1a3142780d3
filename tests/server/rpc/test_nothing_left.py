"""What comes and goes all day leaves nothing behind: streams, connections, tasks."""

import asyncio
import gc
import time
from collections import Counter

import grpc
from handover_proto.policy_pb2_grpc import PolicyServiceStub
from handover_server.requests.request import Lane, PendingRequest
from handover_server.rpc.stream import StreamSession

TIMEOUT_S = 60
VISITS = 30
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)


def left_behind(server):
    """What the server holds of its clients, and how many tasks its loop has."""

    async def tasks():
        return len(asyncio.all_tasks())

    gc.collect()
    kinds = (StreamSession, Lane, PendingRequest)
    held = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))
    return {
        **held,
        "tasks": server.run(tasks()),
        "clients": server.server.levels()["clients_in_flight"],
    }


def test_streams_that_were_dropped_halfway_leave_nothing(serve, noise, message):
    server = serve(noise)
    server.infer(message())
    before = left_behind(server)
    for visit in range(VISITS):
        with grpc.insecure_channel(server.address, options=OF_ITS_OWN) as channel:
            stub = PolicyServiceStub(channel)
            replies = stub.InferStream(iter([message(sequence=1), message(sequence=2)]))
            if visit % 2:
                next(replies)
            replies.cancel()
            stub.Infer.future(message(), timeout=TIMEOUT_S).cancel()
    most = sum(before.values()) + 3  # the last one's, in a thread's frame
    until = time.monotonic() + TIMEOUT_S
    while sum(left_behind(server).values()) > most and time.monotonic() < until:
        time.sleep(0.05)
    assert sum(left_behind(server).values()) <= most
