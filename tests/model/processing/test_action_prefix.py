"""Prefixes of absolute actions through a whole policy."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from handover_model.policy import load_policy
from handover_model.processing.action_prefix import prepare_guide
from handover_proto.embodiment import ALOHA_SLOTS, GR1_DIMS, join_groups
from handover_proto.errors import InvalidRequest
from handover_proto.types import ActionPrefix, Limits, PolicyOutput
from handover_proto.validation import check_request

from ..observations import request, state_groups

SHIPPED = Path(__file__).resolve().parents[3] / "checkpoints/aloha-mini"


def rest_of(output: PolicyOutput, first: int, delay: int) -> ActionPrefix:
    return ActionPrefix({key: values[first:] for key, values in output.action.items()}, delay)


def with_prefix(seed: int, prefix: ActionPrefix):
    return dataclasses.replace(request(seed), prefix=prefix)


@pytest.fixture(scope="module")
def chunk(policy) -> PolicyOutput:
    (output,) = policy.infer([request(1)])
    return output


def test_a_policy_says_that_it_takes_prefixes(policy, chunk):
    assert policy.spec.supports_prefix
    check_request(with_prefix(2, rest_of(chunk, 8, 3)), policy.spec, Limits())


def test_the_target_is_the_prefix_in_the_units_of_the_new_state(policy, chunk):
    processor, state = policy.processor, state_groups(4)
    full = np.random.default_rng(0).uniform(-1, 1, (16, 32)).astype(np.float32)
    actions = processor.decode(full, state)  # within the range of the demonstrations
    prefix = ActionPrefix({key: values[:10] for key, values in actions.items()}, 4)
    prepared = prepare_guide(processor, prefix, state)
    back = processor.decode(prepared.target.numpy(), state)
    for key, values in back.items():
        np.testing.assert_allclose(values[:10], actions[key][:10], atol=1e-6)
    width = sum(GR1_DIMS.values())
    assert (prepared.weight[:4, :width] == 1).all()
    assert (np.diff(prepared.weight.numpy()[3:10, :width], axis=0) < 0).all()
    assert (prepared.weight[10:] == 0).all()
    assert (prepared.weight[:, width:] == 0).all()  # padding
    assert prepared.frozen.sum() == 4 * width


@pytest.mark.parametrize(("length", "delay"), [(8, 3), (16, 16), (3, 3), (1, 0)])
def test_frozen_steps_are_what_the_robot_executes(policy, chunk, length, delay):
    prefix = rest_of(chunk, 16 - length, delay)
    (output,) = policy.infer([with_prefix(5, prefix)])
    for key, values in output.action.items():
        assert values.shape == (16, GR1_DIMS[key])
        np.testing.assert_array_equal(values[:delay], prefix.action[key][:delay])


def test_a_prefix_out_of_the_demonstrations_range_guides_within_it(policy, chunk):
    far = {key: values + 100 for key, values in chunk.action.items()}
    prefix = ActionPrefix(far, 2)
    assert prepare_guide(policy.processor, prefix, state_groups(1)).target.abs().max() == 1
    (output,) = policy.infer([with_prefix(5, prefix)])
    np.testing.assert_array_equal(output.action["left_arm"][:2], far["left_arm"][:2])
    assert np.abs(output.action["left_arm"][2:]).max() < 50


def test_mates_with_and_without_a_prefix_change_nothing(policy, chunk):
    requests = [
        request(1),
        with_prefix(2, rest_of(chunk, 8, 2)),
        request(3),
        with_prefix(4, rest_of(chunk, 10, 6)),
    ]
    together = policy.infer(requests)
    for one, output in zip(requests, together, strict=True):
        (alone,) = policy.infer([one])
        for key, values in alone.action.items():
            np.testing.assert_array_equal(values, output.action[key])


def test_the_seed_decides_with_a_prefix_too(policy, chunk):
    one = with_prefix(2, rest_of(chunk, 8, 2))
    first, again = policy.infer([one, one])
    (other,) = policy.infer([dataclasses.replace(one, seed=99)])
    for key in GR1_DIMS:
        np.testing.assert_array_equal(first.action[key], again.action[key])
    assert not np.array_equal(first.action["left_arm"][2:], other.action["left_arm"][2:])


def test_a_prefix_leaves_no_gradients_behind(policy, chunk):
    policy.infer([with_prefix(2, rest_of(chunk, 8, 2))])
    assert all(weight.grad is None for weight in policy.network.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda action: {key: values[:0] for key, values in action.items()}, "0 steps"),
        (lambda action: {key: np.repeat(v, 2, axis=0) for key, v in action.items()}, "32 steps"),
        (lambda action: {**action, "waist": action["waist"][:, :2]}, "waist"),
        (lambda action: {**action, "waist": action["waist"][:5]}, "waist"),
        (lambda action: {**action, "waist": action["waist"] * np.nan}, "finite"),
        (lambda action: {"waist": action["waist"]}, "left_arm"),
    ],
)
def test_prefixes_that_do_not_fit_are_refused(policy, chunk, change, words):
    prefix = ActionPrefix(change(dict(chunk.action)), 0)
    with pytest.raises(InvalidRequest, match=words) as caught:
        policy.infer([with_prefix(2, prefix)])
    assert caught.value.field == "prefix"


@pytest.mark.parametrize("delay", [-1, 9])
def test_a_delay_beyond_the_prefix_is_refused(policy, chunk, delay):
    with pytest.raises(InvalidRequest, match="delay"):
        policy.infer([with_prefix(2, rest_of(chunk, 8, delay))])


@pytest.mark.parametrize("delay", [2, 6])
def test_the_shipped_checkpoint_goes_on_where_its_last_chunk_was(delay):
    """The jump between what is executed and what comes then, against that of a fresh chunk."""
    policy = load_policy(SHIPPED, device="cpu")
    jumps = {"fresh": [], "guided": []}
    for seed in range(16):
        seen = dataclasses.replace(request(seed), seed=seed)
        (before,) = policy.infer([seen])
        again = dataclasses.replace(seen, seed=100 + seed)
        prefix = ActionPrefix({key: v[:8] for key, v in before.action.items()}, delay)
        fresh, guided = policy.infer([again, dataclasses.replace(again, prefix=prefix)])
        for name, output in (("fresh", fresh), ("guided", guided)):
            jump = (join_groups(output.action) - join_groups(before.action))[delay]
            jumps[name].append(np.linalg.norm(jump[list(ALOHA_SLOTS)]))
    assert np.mean(jumps["guided"]) < 0.8 * np.mean(jumps["fresh"])
