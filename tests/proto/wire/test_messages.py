"""Requests, chunks, info and errors are the same after the wire as before."""

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from handover_proto import policy_pb2 as pb
from handover_proto.errors import (
    BY_STATUS,
    InvalidRequest,
    Overloaded,
    PolicyError,
    UnmetPrecondition,
)
from handover_proto.types import (
    ActionChunk,
    ActionPrefix,
    ActionSpec,
    CameraSpec,
    ImageCodec,
    LatencyEnvelope,
    Limits,
    Observation,
    PolicyRequest,
    PolicySpec,
    PrefixMethod,
    ServerInfo,
    StageDurations,
    StateSpec,
    TrainingRecord,
)
from handover_proto.wire import (
    decode_chunk,
    decode_error,
    decode_info,
    decode_request,
    encode_chunk,
    encode_error,
    encode_info,
    serialize_request,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SPEC = PolicySpec(
    policy="test",
    cameras=(CameraSpec("top", 1, 480, 640), CameraSpec("wrist", 2, delta_indices=(-4, 0))),
    state=(StateSpec("arm", 3, 1, "rad"), StateSpec("hand", 1, 2, "0 closed … 1 open", (-1, 0))),
    action=(ActionSpec("arm", 3, True, "rad"), ActionSpec("hand", 1)),
    horizon=4,
    rate_hz=20.0,
    denoising_steps=4,
    checkpoint_name="tiny",
    checkpoint_hash="ab" * 32,
    processor_hash="cd" * 32,
    embodiment_tag="gr1",
    device="cuda",
    dtype="bfloat16",
    supports_seed=True,
    supports_prefix=True,
    learned_delay_steps=2,
    latency_envelopes=(LatencyEnvelope("pick it up", "rtc", 300.0, 30.0, 100),),
    max_batch=8,
    training=(TrainingRecord("set", "ef", (0, 1, 5), (2,)), TrainingRecord("other", "", ())),
)
LIMITS = Limits(max_batch=8)

floats = st.floats(-1e3, 1e3, width=32)
counters = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def groups(steps: int) -> st.SearchStrategy[dict[str, np.ndarray]]:
    return st.fixed_dictionaries(
        {
            "arm": hnp.arrays(np.float32, (steps, 3), elements=floats),
            "hand": hnp.arrays(np.float32, (steps, 1), elements=floats),
        }
    )


@st.composite
def requests(draw: st.DrawFn) -> PolicyRequest:
    frame = draw(hnp.arrays(np.uint8, (draw(st.integers(1, 5)), 4, 3)))
    state = draw(groups(1))
    return PolicyRequest(
        Observation(
            {"top": [frame], "wrist": [frame[::-1], frame]},
            state | {"hand": np.repeat(state["hand"], 2, axis=0)},
            draw(texts.filter(str.strip)),
        ),
        seed=draw(st.none() | counters),
        sequence=draw(counters),
        client_tag=draw(texts),
        prefix=draw(
            st.none() | st.builds(ActionPrefix, groups(3), st.integers(0, 3), st.booleans())
        ),
        max_age_ms=draw(st.none() | st.integers(1, 2**32 - 1)),
    )


def assert_same_groups(one, other):
    assert set(one) == set(other)
    for name in one:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name])


@given(requests())
def test_a_request_comes_back_as_it_was_sent(request):
    wire = pb.InferRequest.FromString(serialize_request(request))
    back = decode_request(wire, SPEC, LIMITS)
    assert_same_groups(back.observation.state, request.observation.state)
    for name, sent in request.observation.cameras.items():
        for one, other in zip(sent, back.observation.cameras[name], strict=True):
            np.testing.assert_array_equal(one, other)
    for field in ("seed", "sequence", "client_tag", "max_age_ms"):
        assert getattr(back, field) == getattr(request, field)
    assert back.observation.task == request.observation.task
    assert (back.prefix is None) == (request.prefix is None)
    if back.prefix is not None:
        assert back.prefix.delay_steps == request.prefix.delay_steps
        assert_same_groups(back.prefix.action, request.prefix.action)


def test_pixels_are_copied_once_into_a_request():
    frame = np.zeros((480, 640, 3), np.uint8)
    request = PolicyRequest(Observation({"top": [frame] * 3}, {}, "lift"))
    tracemalloc.start()
    try:
        size = len(serialize_request(request))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 3 * frame.nbytes < size <= most < size + frame.nbytes // 2


@given(groups(4), counters, counters, texts)
def test_a_chunk_comes_back_as_it_was_sent(action, seed, sequence, tag):
    durations = StageDurations(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    learned = PrefixMethod.LEARNED
    chunk = ActionChunk(action, seed, sequence, tag, durations, "hash", learned)
    back = decode_chunk(pb.InferReply.FromString(encode_chunk(chunk).SerializeToString()))
    assert_same_groups(back.action, action)
    assert dataclasses.replace(back, action={}) == dataclasses.replace(chunk, action={})
    assert back.durations.total_ms == pytest.approx(2.1)


def test_a_later_version_s_prefix_method_is_none_that_is_known():
    assert decode_chunk(pb.InferReply(prefix_method=9)).prefix_method is PrefixMethod.NONE  # type: ignore


def test_info_comes_back_as_it_was_sent():
    info = ServerInfo(SPEC, LIMITS, server_version="1.2.3")
    assert decode_info(pb.GetInfoReply.FromString(encode_info(info).SerializeToString())) == info


def test_image_codecs_of_a_later_version_are_left_out():
    message = encode_info(ServerInfo(SPEC, LIMITS))
    message.image_codecs.append(42)
    assert decode_info(message).image_codecs == tuple(ImageCodec)


def request_message(**observation) -> pb.InferRequest:
    frame = np.zeros((2, 2, 3), np.uint8)
    state = {"arm": np.zeros((1, 3), np.float32), "hand": np.zeros((2, 1), np.float32)}
    request = PolicyRequest(Observation({"top": [frame], "wrist": [frame] * 2}, state, "lift"))
    return pb.InferRequest.FromString(serialize_request(request))


def test_an_unknown_name_is_refused_before_its_contents_are_looked_at():
    message = request_message()
    message.observation.state["leg\n"].data = b"nonsense"
    with pytest.raises(InvalidRequest, match=r"unknown 'leg\\n'") as caught:
        decode_request(message, SPEC, LIMITS)
    assert caught.value.field == "observation.state"
    message = request_message()
    message.observation.cameras["moon"].frames.add(data=b"nonsense")
    with pytest.raises(InvalidRequest, match="unknown 'moon'"):
        decode_request(message, SPEC, LIMITS)


def test_a_missing_camera_and_a_spare_frame_are_refused():
    message = request_message()
    del message.observation.cameras["top"]
    with pytest.raises(InvalidRequest, match="missing 'top'"):
        decode_request(message, SPEC, LIMITS)
    message = request_message()
    message.observation.cameras["top"].frames.add()
    with pytest.raises(InvalidRequest, match=r'cameras\["top"\]: expected 1 frame'):
        decode_request(message, SPEC, LIMITS)


def test_an_empty_message_is_refused():
    with pytest.raises(InvalidRequest):
        decode_request(pb.InferRequest(), SPEC, LIMITS)


def test_a_prefix_with_an_unknown_group_is_refused_by_name():
    message = request_message()
    message.prefix.action["leg"].data = b"nonsense"
    with pytest.raises(InvalidRequest) as caught:
        decode_request(message, SPEC, LIMITS)
    assert caught.value.field == "prefix.action"


def examples() -> list[PolicyError]:
    made = {InvalidRequest: ("field", "this", "that"), Overloaded: ("full", 0.25)}
    return [kind(*made.get(kind, ("what went wrong",))) for kind in BY_STATUS.values()]


@pytest.mark.parametrize("error", examples(), ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was_sent(error):
    back = decode_error(pb.ErrorDetail.FromString(encode_error(error).SerializeToString()))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


@pytest.mark.parametrize(
    ("told", "believed"), [(0.5, 0.5), (1e12, 60), (math.inf, 60), (math.nan, 0), (-1.0, 0)]
)
def test_no_server_makes_a_client_sleep_for_ever(told, believed):
    back = decode_error(pb.ErrorDetail(status=8, message="full", retry_after_s=told))
    assert isinstance(back, Overloaded)
    assert back.retry_after_s == believed


def test_a_status_of_a_later_version_is_still_a_policy_error():
    back = decode_error(pb.ErrorDetail(status=5, message="not found"))
    assert type(back) is PolicyError
    assert str(back) == "not found"


def test_a_reply_that_carries_an_error_raises_it():
    error = encode_error(UnmetPrecondition("not here"))
    with pytest.raises(UnmetPrecondition, match="not here"):
        decode_chunk(pb.InferReply(sequence=3, error=error))


@pytest.mark.parametrize("length", [400, 401, 10_000])
def test_an_error_always_fits_into_the_metadata(length):
    text = length * "🦾"  # four bytes
    detail = encode_error(InvalidRequest(text, text, text))
    assert detail.ByteSize() < 8 * 1024
    for part in (detail.field, detail.expected, detail.got):
        assert part == (text if length <= 400 else 399 * "🦾" + "…")
