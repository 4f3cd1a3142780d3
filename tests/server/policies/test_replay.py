"""The replay policy answers with the dataset's own actions, from the step that is asked for."""

import dataclasses

import numpy as np
import pytest
from handover_conversion.groot.dataset import GrootDataset
from handover_proto.errors import InvalidRequest
from handover_proto.types import Limits, Observation, PolicyRequest
from handover_proto.validation import check_request, example_request
from handover_proto.wire.messages import decode_chunk
from handover_server.inference.policy_check import check_output
from handover_server.policies.replay import ReplayPolicy

from ..conftest import encode_request


@pytest.fixture(scope="module")
def dataset(groot_dataset):
    return GrootDataset.open(groot_dataset)


@pytest.fixture(scope="module")
def policy(groot_dataset):
    return ReplayPolicy.open(groot_dataset)


def at(policy, episode, step):
    request = example_request(policy.spec)
    return dataclasses.replace(request, client_tag=f"episode={episode}", sequence=step)


def joined(policy, output):
    return np.concatenate([output.action[group.name] for group in policy.spec.action], axis=1)


def test_the_spec_is_the_datasets(policy, dataset):
    spec = policy.spec
    assert (spec.policy, spec.horizon, spec.rate_hz) == ("replay", 16, 20.0)
    assert [camera.name for camera in spec.cameras] == list(dataset.cameras)
    assert [(group.name, group.dim) for group in spec.action] == [
        (name, columns.stop - columns.start) for name, columns in dataset.action_groups.items()
    ]
    assert spec.checkpoint_hash == dataset.content_hash()
    check_request(example_request(spec), spec, Limits())


def test_a_chunk_is_the_demonstrators_next_sixteen_actions(policy, dataset):
    for episode in dataset.episodes:
        recorded = dataset.read_episode(episode.index).action
        for step in (0, 1, episode.length - 16):
            outputs = policy.infer([at(policy, episode.index, step)])
            check_output(outputs, 1, policy.spec)
            np.testing.assert_array_equal(joined(policy, outputs[0]), recorded[step : step + 16])


def test_past_the_end_the_last_action_is_held(policy, dataset):
    recorded = dataset.read_episode(0).action
    (output,) = policy.infer([at(policy, 0, len(recorded) - 3)])
    expected = np.concatenate([recorded[-3:], np.repeat(recorded[-1:], 13, axis=0)])
    np.testing.assert_array_equal(joined(policy, output), expected)
    for step in (len(recorded), 2**64 - 1):
        (output,) = policy.infer([at(policy, 0, step)])
        np.testing.assert_array_equal(joined(policy, output), np.repeat(recorded[-1:], 16, axis=0))


@pytest.mark.parametrize(
    "tag", ["", "episode", "episode=", "episode=2", "episode=-1", "xepisode=0"]
)
def test_another_tag_is_refused_naming_the_episodes(policy, tag):
    request = dataclasses.replace(example_request(policy.spec), client_tag=tag)
    with pytest.raises(InvalidRequest, match="client_tag: expected episode=N, N one of 0, 1"):
        policy.infer([request])


def test_it_is_served_bit_for_bit(serve, policy, dataset):
    server = serve(policy)
    frame = next(iter(dataset.read_frames(0, dataset.cameras[0], [5])))
    state = dataset.read_episode(0).state[5]
    groups = {name: state[None, columns] for name, columns in dataset.state_groups.items()}
    observation = Observation({dataset.cameras[0]: [frame]}, groups, dataset.tasks[0])
    request = PolicyRequest(observation, sequence=5, client_tag="episode=0")
    served = decode_chunk(server.infer(encode_request(request)))
    (direct,) = policy.infer([request])
    for name, values in direct.action.items():
        assert served.action[name].tobytes() == values.tobytes()
