"""A policy answers through the engine as it does through the network's modules."""

import dataclasses
import logging

import numpy as np
import pytest
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.engine import build
from handover_model.engine import reference as reference_engine
from handover_model.engine.cpu import engine as cpu_engine
from handover_model.engine.functional import prompt_kv_cache
from handover_model.errors import ModalityError
from handover_model.policy import build_policy, load_policy
from handover_proto.types import ActionPrefix

from ..observations import request

ATOL = 1e-5
TASKS = ("go", "insert the peg into the socket, slowly", "go", "Transfer the cube!")


@pytest.fixture(scope="module", autouse=True)
def plain():
    """Let PyTorch compute the rows; ONNX Runtime has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ONNX_WEIGHTS", 0)
        yield


@pytest.fixture(scope="module")
def fast(plain, mini):
    return load_policy(mini, device="cpu", engine="fast")


@pytest.fixture(scope="module")
def reference(mini):
    return load_policy(mini, device="cpu", engine="reference")


def requests():
    sizes = ({}, {"height": 96, "width": 128}, {}, {"height": 128, "width": 96})
    return [
        request(seed, task=task, **size)
        for seed, (task, size) in enumerate(zip(TASKS, sizes, strict=True))
    ]


def assert_close(outputs, wanted, atol=ATOL):
    for output, want in zip(outputs, wanted, strict=True):
        for name, values in want.action.items():
            np.testing.assert_allclose(output.action[name], values, atol=atol, err_msg=name)


def assert_same(outputs, wanted):
    for output, want in zip(outputs, wanted, strict=True):
        for name, values in want.action.items():
            np.testing.assert_array_equal(output.action[name], values)


def test_actions_equal_those_of_the_modules(fast, reference):
    assert fast.engine_name == "fast"
    assert reference.engine_name == "reference"
    assert_close(fast.infer(requests()), reference.infer(requests()))


def test_an_answer_is_the_same_alone_and_in_any_batch_and_the_second_time(fast):
    batch = requests()
    together = fast.infer(batch)
    assert_same([fast.infer([one])[0] for one in batch], together)
    assert_same(fast.infer(batch[::-1])[::-1], together)


def test_what_is_kept_of_other_requests_does_not_change_an_answer(fast, mini):
    fast.infer(requests())
    fresh = load_policy(mini, device="cpu", engine="fast")
    batch = requests()
    assert_same(fresh.infer(batch[2:]), fast.infer(batch[2:]))


def test_a_chunk_that_goes_on_from_a_prefix_equals_that_of_the_modules(fast, reference):
    (chunk,) = reference.infer([request(1)])
    rest = ActionPrefix({key: values[6:] for key, values in chunk.action.items()}, 3)
    guided = [dataclasses.replace(one, prefix=rest) for one in requests()]
    assert_close(fast.infer(guided), reference.infer(guided), atol=1e-4)
    mixed = [guided[0], request(3), guided[1]]
    assert_same(fast.infer(mixed), [fast.infer([one])[0] for one in mixed])


def test_what_is_kept_is_bounded(mini, monkeypatch):
    monkeypatch.setattr(cpu_engine, "KEPT_LAYOUTS", 2)
    monkeypatch.setattr(prompt_kv_cache, "KEPT_STARTS", 2)
    policy = load_policy(mini, device="cpu", engine="fast")
    first = [policy.infer([request(0, task=f"go{' on' * k}")])[0] for k in range(5)]
    assert len(policy.engine.tables) == len(policy.engine.starts.kept) == 2
    again = [policy.infer([request(0, task=f"go{' on' * k}")])[0] for k in range(5)]
    assert_same(again, first)


def test_a_network_that_the_engine_does_not_know_is_served_by_its_modules(mini, caplog):
    checkpoint = load_checkpoint(mini)
    network = checkpoint.network
    network.config = dataclasses.replace(network.config, use_alternate_vl_dit=False)
    with pytest.raises(ModalityError, match="--engine reference"):
        build_policy(checkpoint, engine="fast")
    with caplog.at_level(logging.WARNING):
        policy = build_policy(checkpoint, engine="auto")
    assert policy.engine_name == "reference"
    assert "the reference path answers: the fast engine does not compute" in caplog.text


def test_an_engine_that_disagrees_is_not_used(mini, caplog, monkeypatch):
    monkeypatch.setattr(reference_engine, "FLOAT32_ATOL", -1.0)
    with pytest.raises(ModalityError, match=r"differ by .* in torch.float32; use --engine ref"):
        load_policy(mini, device="cpu", engine="fast")
    with caplog.at_level(logging.WARNING):
        assert load_policy(mini, device="cpu").engine_name == "reference"
    assert "the reference path answers" in caplog.text


def test_an_unknown_engine_is_refused(mini):
    with pytest.raises(ModalityError, match="engine is 'warp', expected auto, reference, fast"):
        load_policy(mini, device="cpu", engine="warp")
