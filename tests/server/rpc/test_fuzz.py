"""Ten thousand broken requests: each is answered by name, and the good ones after them by a chunk.

`pytest -m slow` runs ten times as many.
"""

import gc
import random
from pathlib import Path

import grpc
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import InvalidRequest, UnmetPrecondition
from handover_proto.types import Limits
from handover_proto.wire.messages import decode_chunk, encode_error
from handover_server.inference.decoder import decode_bytes
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.wire_head import RequestHead

from ..mutations import FAULTS, damaged, good_request

TIMEOUT_S = 60
FAULTY, DAMAGED, UNARY, STREAMED = 5000, 4000, 1200, 600  # 10,800 in the default suite
MORE = 10  # times as many in the slow run
AT_ONCE = 16  # calls in flight together
MAX_GROWTH_MIB = 64  # allocators' slack; an image bomb alone would be gigabytes


def decode(data: bytes):
    """What the server does with a request's bytes before the policy sees it."""
    RequestHead().read(data)
    return decode_bytes(data, ALOHA_HOLD, Limits())


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def faulty(rng: random.Random) -> tuple[str, str, bytes]:
    """One fault of each kind in turn: its name, the field that it breaks, the bytes."""
    fault = rng.choice(FAULTS)
    request = good_request(rng)
    field = fault(request, rng)
    return fault.__name__, field, request.SerializeToString()


def mutants(rng: random.Random, count: int) -> list[bytes]:
    """Half with a known fault, half with damaged bytes."""
    return [
        faulty(rng)[2] if index % 2 else damaged(good_request(rng).SerializeToString(), rng)
        for index in range(count)
    ]


def check_faults(count: int, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        name, field, data = faulty(rng)
        with pytest.raises(InvalidRequest) as caught:
            decode(data)
        error = caught.value
        assert error.field.startswith(field), name
        assert error.expected, name
        assert error.got, name
        assert encode_error(error).ByteSize() < 8 * 1024, name


def check_damage(count: int, seed: int) -> int:
    rng = random.Random(seed)
    refused = []
    for _ in range(count):
        try:
            decode(damaged(good_request(rng).SerializeToString(), rng))
        except (InvalidRequest, UnmetPrecondition) as error:
            refused.append(str(error))
    assert not any("\n" in line for line in refused)
    return len(refused)


def check_unary(server, count: int, seed: int, typed_error) -> None:
    rng = random.Random(seed)
    call = server.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
    for start in range(0, count, AT_ONCE):
        batch = mutants(rng, min(AT_ONCE, count - start))
        for asked in [call.future(data, timeout=TIMEOUT_S) for data in batch]:
            error = asked.exception()
            if error is None:
                assert decode_chunk(pb.InferReply.FromString(asked.result())).action
            else:
                assert isinstance(typed_error(error), InvalidRequest | UnmetPrecondition)


def check_stream(server, count: int, seed: int) -> None:
    rng = random.Random(seed)
    call = server.channel.stream_stream("/handover.policy.v1.PolicyService/InferStream")
    replies = [
        pb.InferReply.FromString(reply)
        for reply in call(iter(mutants(rng, count)), timeout=TIMEOUT_S)
    ]
    assert len(replies) == count
    allowed = {
        code.value[0]
        for code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.ABORTED,  # superseded: a stream sends faster than it is served
        )
    }
    for reply in replies:
        assert reply.action or reply.error.status in allowed
    assert any(reply.error.field for reply in replies)


def check_wire(server, counts: tuple[int, int], seed: int, typed_error) -> None:
    """Send mutants over both calls; good requests are answered as before, in no more memory."""
    good = good_request(random.Random(seed))
    before = server.infer(good).action
    check_unary(server, 64, seed + 1, typed_error)  # allocators and threads warm up
    memory = resident_mib()
    check_unary(server, counts[0], seed + 2, typed_error)
    check_stream(server, counts[1], seed + 3)
    assert server.infer(good).action == before
    assert resident_mib() - memory < MAX_GROWTH_MIB


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_told_by_its_field_over_the_wire(serve, fault):
    server = serve(HoldPolicy())
    request = good_request(random.Random(0))
    field = fault(request, random.Random(1))
    with pytest.raises(InvalidRequest) as caught:
        server.infer_bytes(request.SerializeToString())
    assert caught.value.field.startswith(field)
    assert server.infer(good_request(random.Random(2))).action


def test_good_requests_are_good():
    rng = random.Random(0)
    for _ in range(50):
        assert decode(good_request(rng).SerializeToString()).observation.task


def test_known_faults_are_told_by_their_field():
    check_faults(FAULTY, seed=1)


def test_damaged_bytes_are_a_request_or_refused():
    assert DAMAGED / 2 < check_damage(DAMAGED, seed=2) < DAMAGED


def test_mutants_over_the_wire_neither_stop_nor_swell_the_server(serve, typed_error):
    check_wire(serve(HoldPolicy()), (UNARY, STREAMED), 3, typed_error)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_mutants(serve, typed_error):
    check_faults(FAULTY * MORE, seed=11)
    check_damage(DAMAGED * MORE, seed=12)
    check_wire(serve(HoldPolicy()), (UNARY * MORE, STREAMED), 13, typed_error)
    for seed in range(14, 14 + MORE):
        check_stream(serve(HoldPolicy()), STREAMED, seed)
