"""Rows computed by OpenVINO equal PyTorch's, and PyTorch answers where OpenVINO cannot."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from handover_model.engine import choose
from handover_model.engine.openvino_rows import import_openvino
from handover_model.policy import load_policy
from handover_proto.contract import ActionPrefix

from ..observations import request

TASKS = ("go", "insert the peg into the socket, slowly", "Transfer the cube!")


def requests():
    """Frames of the size that the checkpoint names, and one of another size."""
    known = [request(k, task=task, height=256, width=256) for k, task in enumerate(TASKS)]
    return [*known, request(7, height=96, width=128)]


@pytest.fixture(scope="module")
def reference(mini):
    return load_policy(mini, device="cpu", engine="reference")


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setattr(Path, "home", lambda: home)
        yield home


@pytest.fixture(scope="module")
def converted(mini, homes):
    try:
        import_openvino()
    except ImportError:
        pytest.skip("the extra openvino is not installed")
    return load_policy(mini, device="cpu", engine="fast")


def test_actions_equal_those_of_the_modules(converted, reference):
    assert converted._engine.name == "fast (OpenVINO)"
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


def test_the_second_start_reads_what_the_first_converted(converted, homes, mini):
    kept = sorted(path.name for path in homes.rglob("*.xml"))
    again = load_policy(mini, device="cpu", engine="fast")
    assert sorted(path.name for path in homes.rglob("*.xml")) == kept
    assert [name.partition("-")[0] for name in kept] == ["denoise", "read"]
    (one,), (other,) = again.infer(requests()[:1]), converted.infer(requests()[:1])
    for name, values in one.action.items():
        np.testing.assert_array_equal(other.action[name], values)


def test_pytorch_answers_where_openvino_fails(mini, caplog, monkeypatch):
    def broken():
        raise RuntimeError("no such instruction\nand 40 lines more")

    monkeypatch.setattr(choose, "find_spec", lambda _name: object())
    monkeypatch.setattr("handover_model.engine.openvino_rows.import_openvino", broken)
    with caplog.at_level(logging.WARNING):
        policy = load_policy(mini, device="cpu", engine="fast")
    assert policy._engine.name == "fast"
    assert "OpenVINO does not: no such instruction" in caplog.text
    assert "40 lines" not in caplog.text
    policy.infer([request()])
