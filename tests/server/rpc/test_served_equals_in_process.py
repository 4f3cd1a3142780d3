"""What comes over the wire is bit for bit what the policy computes in this process."""

import dataclasses

import pytest
from handover_proto.types import MAX_IMAGE_PIXELS, ImageCodec, Observation, PolicyRequest
from handover_proto.wire.codec import compress, decode_image, encode_frame
from handover_proto.wire.messages import decode_chunk
from handover_server.policies.hold import HoldPolicy

from ..conftest import encode_request


def frames_of(observation: Observation, codec: ImageCodec) -> tuple[Observation, Observation]:
    """The observation as it is sent with `codec`, and as whoever decodes it sees it."""
    (frame,) = observation.cameras["ego_view"]
    sent = frame if codec is ImageCodec.RAW_RGB8 else compress(frame, codec)
    seen = decode_image(encode_frame(sent), "", MAX_IMAGE_PIXELS)
    return (
        dataclasses.replace(observation, cameras={"ego_view": [sent]}),
        dataclasses.replace(observation, cameras={"ego_view": [seen]}),
    )


@pytest.mark.parametrize("codec", ImageCodec)
@pytest.mark.parametrize("which", ["noise", "hold"])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_served_equals_in_process(serve, noise, observation, which, codec, seed):
    policy = noise if which == "noise" else HoldPolicy()
    sent, seen = frames_of(observation, codec)
    (direct,) = policy.infer([PolicyRequest(seen, seed)])
    server = serve(policy)
    unary = decode_chunk(server.infer(encode_request(PolicyRequest(sent, seed))))
    replies = server.stub.InferStream(iter([encode_request(PolicyRequest(sent, seed))]), timeout=60)
    streamed = decode_chunk(next(replies))
    for chunk in (unary, streamed):
        assert chunk.seed == seed
        assert set(chunk.action) == set(direct.action)
        for name, values in direct.action.items():
            assert chunk.action[name].dtype == values.dtype
            assert chunk.action[name].shape == values.shape
            assert chunk.action[name].tobytes() == values.tobytes()


def test_a_request_is_answered_alike_alone_and_among_others(serve, noise, message):
    server = serve(noise)
    alone = {seed: server.infer(message(seed=seed)) for seed in range(6)}
    calls = {seed: server.stub.Infer.future(message(seed=seed), timeout=60) for seed in range(6)}
    for seed, call in calls.items():
        assert call.result().action == alone[seed].action
