"""A GR00T checkpoint behind the server: the same bits as in process, whoever else asks."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handover_conversion.groot.dataset import GrootDataset
from handover_proto import policy_pb2 as pb
from handover_proto.types import (
    MAX_IMAGE_PIXELS,
    ActionPrefix,
    ImageCodec,
    Observation,
    PolicyRequest,
)
from handover_proto.wire.codec import compress, decode_image, encode_frame
from handover_proto.wire.messages import decode_chunk, serialize_request
from handover_server.serve.command import ServeConfig
from handover_server.serve.run import load_policy

from ..conftest import encode_request

ROOT = Path(__file__).resolve().parents[3]

torch = pytest.importorskip("torch", reason="the model needs torch")


@pytest.fixture(scope="module")
def policy(groot_dataset, tmp_path_factory):
    """A small checkpoint with random weights, loaded as `handover serve` loads it."""
    from handover_training.aloha_mini.checkpoint import write_random

    folder = write_random(groot_dataset, tmp_path_factory.mktemp("mini") / "checkpoint")
    return load_policy(ServeConfig(checkpoint=str(folder), device="cpu", threads=1))


@pytest.fixture(scope="module")
def recorded(groot_dataset, policy) -> Observation:
    """The first step of the first recorded episode."""
    dataset = GrootDataset.open(groot_dataset)
    episode = dataset.read_episode(0)
    (camera,) = policy.spec.cameras
    (frame,) = dataset.read_frames(0, dataset.cameras[0], [0])
    state = {name: episode.state[:1, columns] for name, columns in dataset.state_groups.items()}
    return Observation({camera.name: [frame]}, state, episode.task_at(0))


@pytest.mark.parametrize("codec", ImageCodec)
def test_served_equals_in_process(serve, policy, recorded, codec):
    ((camera, (frame,)),) = recorded.cameras.items()
    sent = frame if codec is ImageCodec.RAW_RGB8 else compress(frame, codec)
    seen = decode_image(encode_frame(sent), "", MAX_IMAGE_PIXELS)
    in_process = dataclasses.replace(recorded, cameras={camera: [seen]})
    over_the_wire = dataclasses.replace(recorded, cameras={camera: [sent]})
    (direct,) = policy.infer([PolicyRequest(in_process, seed=7)])
    server = serve(policy)
    chunk = decode_chunk(server.infer(encode_request(PolicyRequest(over_the_wire, seed=7))))
    assert chunk.checkpoint_hash == policy.spec.checkpoint_hash != ""
    assert chunk.durations.preprocess_ms > 0
    assert chunk.durations.backbone_ms > 0
    assert chunk.durations.action_head_ms > 0
    assert set(chunk.action) == set(direct.action)
    for name, values in direct.action.items():
        assert chunk.action[name].tobytes() == values.tobytes()


def test_a_prefix_over_the_wire_is_that_in_process(serve, policy, recorded):
    (before,) = policy.infer([PolicyRequest(recorded, seed=6)])
    rest = ActionPrefix({name: values[8:] for name, values in before.action.items()}, 3)
    request = PolicyRequest(recorded, seed=7, prefix=rest)
    (direct,) = policy.infer([request])
    server = serve(policy)
    assert server.stub.GetInfo(pb.GetInfoRequest()).supports_prefix
    chunk = decode_chunk(server.infer(encode_request(request)))
    for name, values in direct.action.items():
        assert chunk.action[name].tobytes() == values.tobytes()
        assert values[:3].tobytes() == rest.action[name][:3].tobytes()


def test_other_requests_do_not_change_an_answer(serve, policy, recorded):
    server = serve(policy)
    requests = [encode_request(PolicyRequest(recorded, seed=seed)) for seed in range(3)]
    broken = encode_request(PolicyRequest(dataclasses.replace(recorded, task=" "), seed=1))
    alone = [server.infer(request).action for request in requests]
    assert alone[0] != alone[1]

    def ask(request):
        return server.stub.Infer.future(request, timeout=60)

    calls = [ask(request) for request in (requests[0], broken, requests[1], requests[2], broken)]
    assert [calls[place].result().action for place in (0, 2, 3)] == alone
    assert calls[1].exception() is not None


@pytest.fixture(scope="module")
def shipped():
    """The checkpoint that ships, as `handover serve` loads it."""
    folder = ROOT / "checkpoints/aloha-mini"
    return load_policy(ServeConfig(checkpoint=str(folder), device="cpu", threads=1))


def test_alone_in_a_full_batch_or_among_hostile_ones_the_bits_are_the_same(
    serve, shipped, recorded
):
    (camera,) = shipped.spec.cameras
    (frames,) = recorded.cameras.values()
    observation = dataclasses.replace(recorded, cameras={camera.name: frames})
    mine = PolicyRequest(observation, seed=7)
    others = [
        PolicyRequest(
            dataclasses.replace(
                observation,
                cameras={camera.name: [np.full_like(frames[0], shade)]},
                state={name: values + shade for name, values in observation.state.items()},
                task=task,
            ),
            seed=seed,
        )
        for seed, (shade, task) in enumerate([(0, "x"), (255, "word " * 399), (9, "\u202e\x00�")])
    ]
    (alone,) = shipped.infer([mine])
    batch = shipped.infer([*others, mine, *others, mine])
    for output in (batch[3], batch[7]):
        for name, values in alone.action.items():
            assert output.action[name].tobytes() == values.tobytes()
    server = serve(shipped)
    hostile = [serialize_request(request) for request in others]
    hostile += [b"\xff" * 1000, hostile[0][:-7], b"", b"\x0a\x00" * 5000]
    call = server.channel.unary_unary("/handover.policy.v1.PolicyService/Infer")
    calls = [call.future(data, timeout=60) for data in hostile]
    chunks = [server.infer(encode_request(mine), timeout_s=60) for _ in range(3)]
    for chunk in map(decode_chunk, chunks):
        for name, values in alone.action.items():
            assert chunk.action[name].tobytes() == values.tobytes()
    assert sum(each.exception() is None for each in calls) == len(others)


def test_python_looks_for_no_garbage_while_pytorch_is_imported():
    program = (
        "import gc, sys\n"
        "from handover_common import HandoverError\n"
        "from handover_server.policies.groot import load_groot\n"
        "begun = []\n"
        "gc.callbacks.append(lambda phase, _: begun.append(phase))\n"
        "try:\n    load_groot('/no/such/folder')\n"
        "except HandoverError:\n    print(len(begun), 'torch' in sys.modules, gc.isenabled())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    collections, *others = done.stdout.split()
    assert others == ["True", "True"]
    assert int(collections) < 20
