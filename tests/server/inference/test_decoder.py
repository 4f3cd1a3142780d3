"""Compressed images wait for a thread; everything else is decoded where it arrives."""

import queue
import threading

import numpy as np
import pytest
from handover_proto.errors import InvalidRequest, Overloaded, PolicyFailed, Superseded
from handover_proto.types import ImageCodec, Limits, Observation, PolicyRequest
from handover_proto.wire.codec import compress
from handover_proto.wire.messages import serialize_request
from handover_server.inference import decoder as module
from handover_server.inference.decoder import Decoder
from handover_server.policies.hold import ALOHA_HOLD
from handover_server.requests.request import Lane, PendingRequest
from handover_server.requests.wire_head import RequestHead

TIMEOUT_S = 60


@pytest.fixture
def passed_on():
    return []


@pytest.fixture
def decoder(passed_on):
    """Without a thread: whatever needs one stays where it is."""
    decoder = Decoder(
        ALOHA_HOLD, Limits(), threads=0, pass_on=lambda pending, data: passed_on.append(pending)
    )
    yield decoder
    decoder.close()


def pending(data: bytes, outcomes: list) -> PendingRequest:
    head = RequestHead()
    head.read(data)
    return PendingRequest(data, head, Lane(), None, outcomes.append)


def with_frame(observation, frame) -> bytes:
    cameras = {name: [frame] for name in observation.cameras}
    request = PolicyRequest(Observation(cameras, observation.state, observation.task), seed=1)
    return serialize_request(request)


def test_raw_frames_are_decoded_at_once(decoder, passed_on, observation):
    frame = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    raw = pending(with_frame(observation, frame), [])
    decoder.submit(raw)
    assert passed_on == [raw]
    assert raw.request is not None
    for (decoded,) in raw.request.observation.cameras.values():
        np.testing.assert_array_equal(decoded, frame)


@pytest.mark.parametrize("codec", [ImageCodec.JPEG, ImageCodec.PNG])
def test_files_wait_for_a_thread(decoder, passed_on, observation, codec):
    data = with_frame(observation, compress(np.zeros((8, 8, 3), np.uint8), codec))
    decoder.submit(pending(data, []))
    assert passed_on == []
    assert decoder.waiting == 1


def test_a_thread_decodes_all_files_that_wait_for_it(observation):
    done, first, gate = queue.Queue(), threading.Event(), threading.Event()

    def pass_on(pending, data):
        first.set()
        assert gate.wait(TIMEOUT_S)
        done.put(pending)

    decoder = Decoder(ALOHA_HOLD, Limits(), threads=1, pass_on=pass_on)
    frame = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    data = with_frame(observation, compress(frame, ImageCodec.PNG))
    tickets = [pending(data, []) for _ in range(3)]
    decoder.submit(tickets[0])
    assert first.wait(TIMEOUT_S)
    for each in tickets[1:]:
        decoder.submit(each)
    gate.set()
    assert [done.get(timeout=TIMEOUT_S) for _ in tickets] == tickets
    for each in tickets:
        (decoded,) = each.request.observation.cameras["ego_view"]
        np.testing.assert_array_equal(decoded, frame)
    decoder.close()


def test_what_nobody_waits_for_is_not_decoded(decoder, passed_on, observation, caplog):
    outcomes = []
    withdrawn = pending(with_frame(observation, np.zeros((8, 8, 3), np.uint8)), outcomes)
    withdrawn.withdraw(Superseded("newer"))
    decoder.submit(withdrawn)
    assert passed_on == []
    assert [type(outcome) for outcome in outcomes] == [Superseded]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "told"), [(MemoryError(), Overloaded), (ZeroDivisionError(), PolicyFailed)]
)
def test_a_request_whose_decoding_fails_is_answered_too(
    decoder, passed_on, observation, monkeypatch, error, told
):
    def fail(data, spec, limits):
        raise error

    monkeypatch.setattr(module, "decode_bytes", fail)
    outcomes = []
    decoder.submit(pending(with_frame(observation, np.zeros((8, 8, 3), np.uint8)), outcomes))
    assert passed_on == []
    assert [type(outcome) for outcome in outcomes] == [told]


def test_what_does_not_parse_is_refused_at_once(decoder, passed_on):
    outcomes = []
    decoder.submit(PendingRequest(b"\xff", RequestHead(), Lane(), None, outcomes.append))
    assert passed_on == []
    assert [type(outcome) for outcome in outcomes] == [InvalidRequest]


def test_files_wait_while_many_decoded_frames_are_held(monkeypatch, observation):
    monkeypatch.setattr(module, "MOST_DECODED", 100)  # a frame of 8 x 8 has 192 bytes
    decoded: queue.Queue[PendingRequest] = queue.Queue()
    decoder = Decoder(ALOHA_HOLD, Limits(), 1, lambda pending, data: decoded.put(pending))
    data = with_frame(observation, compress(np.zeros((8, 8, 3), np.uint8), ImageCodec.PNG))
    sent = [pending(data, []) for _ in range(3)]
    try:
        for each in sent:
            decoder.submit(each)
        assert decoded.get(timeout=TIMEOUT_S) is sent[0]
        assert decoder.waiting == 2
        decoder.discard(sent[0])
        assert decoded.get(timeout=TIMEOUT_S) is sent[1]
        decoder.discard(sent[1])
        assert decoded.get(timeout=TIMEOUT_S) is sent[2]
    finally:
        decoder.close()
