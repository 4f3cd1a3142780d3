"""Rows computed by ONNX Runtime equal PyTorch's, and PyTorch answers where it cannot."""

import dataclasses
import logging
import sys
import types

import numpy as np
import pytest
from handover_model.policy import load_policy
from handover_proto.types import ActionPrefix

from ...observations import request

ONNX_ROWS = "handover_model.engine.cpu.onnx"
TASKS = ("go", "insert the peg into the socket, slowly", "Transfer the cube!")


def requests():
    """Frames of the size that the checkpoint names, and one of another size."""
    known = [request(k, task=task, height=256, width=256) for k, task in enumerate(TASKS)]
    return [*known, request(7, height=96, width=128)]


@pytest.fixture(scope="module")
def reference(mini):
    return load_policy(mini, device="cpu", engine="reference")


@pytest.fixture(scope="module")
def converted(mini):
    pytest.importorskip("onnxruntime")
    return load_policy(mini, device="cpu", engine="fast")


def test_actions_equal_those_of_the_modules(converted, reference):
    assert converted.engine_name == "fast (ONNX Runtime)"
    for output, want in zip(converted.infer(requests()), reference.infer(requests()), strict=True):
        for name, values in want.action.items():
            np.testing.assert_allclose(output.action[name], values, atol=1e-5)


def test_an_answer_is_the_same_alone_and_in_any_batch(converted):
    batch = requests()
    together = converted.infer(batch)
    for one, want in zip(batch, together, strict=True):
        (alone,) = converted.infer([one])
        for name, values in want.action.items():
            np.testing.assert_array_equal(alone.action[name], values)


def test_a_prefix_is_left_to_pytorch(converted, reference):
    (chunk,) = reference.infer([request(1)])
    rest = ActionPrefix({key: values[6:] for key, values in chunk.action.items()}, 3)
    guided = dataclasses.replace(requests()[0], prefix=rest)
    (got,), (want,) = converted.infer([guided]), reference.infer([guided])
    for name, values in want.action.items():
        np.testing.assert_allclose(got.action[name], values, atol=1e-4)


def test_a_second_policy_gives_the_same(converted, mini):
    again = load_policy(mini, device="cpu", engine="fast")
    (one,), (other,) = again.infer(requests()[:1]), converted.infer(requests()[:1])
    for name, values in one.action.items():
        np.testing.assert_array_equal(other.action[name], values)


def test_pytorch_answers_where_onnx_runtime_fails(mini, caplog, monkeypatch):
    class Broken(types.ModuleType):
        def OnnxBackend(self, *_):
            raise RuntimeError("no such instruction\nand 40 lines more")

    monkeypatch.setitem(sys.modules, ONNX_ROWS, Broken(ONNX_ROWS))
    with caplog.at_level(logging.WARNING):
        policy = load_policy(mini, device="cpu", engine="fast")
    assert policy.engine_name == "fast"
    assert "ONNX Runtime does not: no such instruction" in caplog.text
    assert "40 lines" not in caplog.text
    policy.infer([request()])


def test_pytorch_answers_where_onnx_runtime_is_not_installed(mini, caplog, monkeypatch):
    monkeypatch.delitem(sys.modules, ONNX_ROWS, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with caplog.at_level(logging.WARNING):
        policy = load_policy(mini, device="cpu", engine="fast")
    assert policy.engine_name == "fast"
    assert "ONNX Runtime does not: import of onnxruntime halted" in caplog.text
