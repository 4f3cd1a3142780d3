"""FP8: the rounding by hand, the product by PyTorch's own, and policies that are served in it."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.engine import reference as reference_engine
from handover_model.engine.calibration import calibrate
from handover_model.engine.fp8.linear import FP8, Fp8Linear, quantize, quantize_layer, round_to_fp8
from handover_model.engine.fp8.scales import SCALES_FILE, load_scales, save_scales
from handover_model.engine.functional.linear import Dense, Norm
from handover_model.engine.functional.tables import take_weights
from handover_model.errors import CheckpointError, ModalityError
from handover_model.policy import GrootPolicy, build_policy, load_policy
from handover_proto.types import ActionPrefix
from torch.nn import functional

from ...observations import request
from ...tiny import network, normal


def layer_of(outputs=48, inputs=32):
    return Dense(normal(outputs, inputs, seed=3), normal(outputs, seed=4))


def test_numbers_are_rounded_to_three_bits_and_cut_at_the_largest():
    numbers = torch.tensor([1.0, 1.07, 1.19, 17.5, 500.0, -1e9, 0.0])
    rounded = round_to_fp8(numbers, torch.tensor(1.0))
    assert rounded.float().tolist() == [1.0, 1.125, 1.25, 18.0, 448.0, -448.0, 0.0]
    assert round_to_fp8(numbers, torch.tensor(2.0)).float()[0] == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_what_pytorch_computes_of_the_rounded_numbers(dtype):
    layer = layer_of()
    layer = Dense(layer.weight.to(dtype), layer.bias.to(dtype))
    tokens = normal(2, 17, 32).to(dtype)
    rounded = quantize_layer(layer, float(tokens.abs().max()))
    rows = round_to_fp8(tokens.flatten(0, 1), rounded.input_scale)
    want = torch._scaled_mm(
        rows,
        rounded.weight.to(FP8).t(),
        scale_a=rounded.input_scale,
        scale_b=rounded.weight_scale,
        out_dtype=dtype,
    )
    torch.testing.assert_close(rounded(tokens), want.view(2, 17, 48) + layer.bias)
    plain = layer(tokens).float()
    assert (
        functional.cosine_similarity(rounded(tokens).float().ravel(), plain.ravel(), dim=0) > 0.998
    )
    assert not torch.equal(rounded(tokens).float(), plain)


def test_what_stands_around_the_product_is_done_in_full():
    layer, tokens, residual = layer_of(), normal(5, 32), normal(5, 48)
    norm = Norm(normal(32, seed=5), normal(32, seed=6), 1e-5)
    rounded = quantize_layer(layer, 6.0)
    want = residual + functional.gelu(rounded(norm(tokens)), approximate="tanh")
    torch.testing.assert_close(rounded(tokens, norm, gelu=True, residual=residual), want)


def test_a_layer_of_zeros_stays_one():
    rounded = quantize_layer(Dense(torch.zeros(16, 16), None), 1.0)
    assert rounded(normal(3, 16)).count_nonzero() == 0


def test_only_large_layers_whose_sides_the_kernels_take_are_rounded():
    net = network()
    weights = take_weights(net, 0)
    rounded = quantize(weights, AnyLayer())
    block = rounded.head.blocks[0]
    assert isinstance(block.project, Fp8Linear)  # 16 x 16
    assert isinstance(rounded.vision.layers[0].qkv, Fp8Linear)
    assert isinstance(rounded.vision.layers[0].up, Dense)  # 24 x 16
    assert isinstance(rounded.vision.patch, Dense)
    assert isinstance(rounded.vision.fold_out, Dense)
    assert rounded.head.decode.weight1 is weights.head.decode.weight1
    with pytest.raises(ModalityError, match=r"none for vision\.layers\.0\.qkv; calibrate again"):
        quantize(weights, {})


class AnyLayer(dict):
    """The same largest input for every layer."""

    def __contains__(self, _name):
        return True

    def __getitem__(self, _name):
        return 4.0


@pytest.fixture(scope="module")
def checkpoint(mini):
    return load_checkpoint(mini)


@pytest.fixture(scope="module")
def scales(checkpoint):
    """Calibrated on observations of noise: the network's weights are noise too."""
    plain = GrootPolicy(checkpoint)
    samples = [plain.prepare(request(seed)) for seed in range(8)]
    return calibrate(checkpoint, checkpoint.processor(), samples[::2], samples[1::2], "noise")


def test_the_error_of_the_actions_is_small_and_there(scales):
    assert (scales.observations, scales.error.chunks) == (4, 4)
    assert 0.999 <= scales.error.cosine < 1
    assert 0 < scales.error.mean < scales.error.largest
    assert all(number > 0 for number in scales.largest_inputs.values())


def test_scales_come_back_from_their_file_and_only_for_their_weights(scales, tmp_path):
    path = tmp_path / SCALES_FILE
    with pytest.raises(CheckpointError, match="is missing: --precision fp8 needs the scales"):
        load_scales(path, scales.weights_hash)
    save_scales(scales, path)
    assert load_scales(path, scales.weights_hash) == scales
    assert [file.name for file in tmp_path.iterdir()] == [SCALES_FILE]
    with pytest.raises(
        CheckpointError, match=r"to the weights \w+, but the checkpoint's are other"
    ):
        load_scales(path, "other")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, expected 1"),
        ({"largest_inputs": {"a": 0}}, "a largest input of 0"),
        ({"largest_inputs": {"a": float("nan")}}, "a largest input of nan"),
        ({"largest_inputs": [1]}, "no attribute 'items'"),
        ({"error": {}}, "KeyError"),
    ],
)
def test_a_file_that_is_not_ours_is_one_clear_line(scales, tmp_path, change, said):
    path = tmp_path / SCALES_FILE
    save_scales(scales, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match="not in Handover's format") as caught:
        load_scales(path, scales.weights_hash)
    assert said in str(caught.value)


@pytest.fixture
def serve(mini, scales, tmp_path):
    """Load a policy in FP8 as `handover serve` does."""

    def load():
        path = tmp_path / "scales.json"
        save_scales(scales, path)
        return load_policy(mini, device="cpu", precision="fp8", fp8_scales=path)

    return load


def test_a_policy_in_fp8_says_so_and_tells_its_error(serve, scales, caplog):
    with caplog.at_level(logging.INFO):
        assert serve().spec.dtype == "fp8"
    assert f"cosine {scales.error.cosine:.6f} to the reference path" in caplog.text
    assert "FP8, on 4 chunks of noise that it was not calibrated on" in caplog.text


def test_its_actions_are_near_the_references_and_do_not_depend_on_the_batch(serve, checkpoint):
    served = serve()
    batch = [request(seed) for seed in range(20, 24)]
    plain = build_policy(checkpoint, engine="fast").infer(batch)
    together = served.infer(batch)
    for number, (output, want) in enumerate(zip(together, plain, strict=True)):
        (alone,) = served.infer([batch[number]])
        for name, values in want.action.items():
            np.testing.assert_array_equal(alone.action[name], output.action[name])
            np.testing.assert_allclose(output.action[name], values, atol=0.2)
    assert any(
        not np.array_equal(output.action[name], want.action[name])
        for output, want in zip(together, plain, strict=True)
        for name in want.action
    )


def test_a_request_with_a_prefix_is_computed_in_full(serve, checkpoint):
    served = serve()
    reference = GrootPolicy(checkpoint)
    (chunk,) = reference.infer([request(1)])
    rest = ActionPrefix({key: values[6:] for key, values in chunk.action.items()}, 3)
    guided = dataclasses.replace(request(1), prefix=rest)
    (got,), (want,) = served.infer([guided]), reference.infer([guided])
    for name, values in want.action.items():
        np.testing.assert_allclose(got.action[name], values, atol=1e-5)


def test_fp8_that_cannot_be_had_is_an_error_and_never_another_precision(
    checkpoint, scales, monkeypatch
):
    with pytest.raises(ModalityError, match="leave --engine reference out"):
        build_policy(checkpoint, engine="reference", scales=scales)
    with pytest.raises(ModalityError, match="calibrate again"):
        build_policy(
            checkpoint, engine="auto", scales=dataclasses.replace(scales, largest_inputs={})
        )
    monkeypatch.setattr(reference_engine, "ROUNDED_COSINE", 1.1)
    with pytest.raises(ModalityError, match=r"differ by .* in torch.float8_e4m3fn"):
        build_policy(checkpoint, engine="auto", scales=scales)
