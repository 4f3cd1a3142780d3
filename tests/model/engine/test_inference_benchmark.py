"""The inference benchmark: what cannot run has a reason and no figure; the floor counts weights."""

import dataclasses
from pathlib import Path

import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.engine.fp8.linear import FP8, Fp8Linear
from handover_model.engine.functional.layer_replacement import replace_layers
from handover_model.engine.functional.linear import Dense
from handover_model.engine.functional.tables import take_weights
from handover_model.policy import build_policy
from handover_proto.validation import example_request

from ..tiny import network

ROOT = Path(__file__).parents[3]
HERE = ("reference", "engine", "engine, ONNX Runtime")
TOKENS = {"patches": 16, "image": 4, "text": 6, "action_side": 9}


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def test_variants_for_a_gpu_say_on_a_cpu_why_they_are_not_measured(mini):
    from benchmarks.inference.variants import VARIANTS, NotAvailable

    elsewhere = [name for name in VARIANTS if name not in (*HERE, "compiled transformer")]
    assert len(elsewhere) == 4
    for name in elsewhere:
        with pytest.raises(NotAvailable, match="needs a CUDA device"):
            VARIANTS[name].build(load_checkpoint(mini))


def test_the_variants_of_a_cpu_answer_alike(mini):
    pytest.importorskip("onnxruntime")
    from benchmarks.inference.variants import VARIANTS

    built = [VARIANTS[name].build(load_checkpoint(mini)) for name in HERE]
    engines = [policy.engine_name for policy in built]
    assert engines == ["reference", "fast", "fast (ONNX Runtime)"]


def test_only_the_graphs_that_are_asked_are_compiled(mini):
    from benchmarks.inference.variants import call_directly, compile_graphs, with_graphs

    policy = with_graphs(load_checkpoint(mini), call_directly)
    engine = policy.engine
    assert len(engine.buckets) == 15
    asked, compiled = example_request(policy.spec), []
    policy.spec = dataclasses.replace(policy.spec, max_batch=16)  # as on a GPU
    compile_graphs(policy, lambda chunk, _: compiled.append(chunk) or chunk, asked, (3, 18))
    assert [bucket.rows for bucket in engine.buckets] == [1, 2, 4, 16]
    assert len({bucket.layout.length for bucket in engine.buckets}) == 1
    assert len(compiled) == len(engine.compiled) == 4


def test_fp8_is_measured_by_scales_of_its_own(mini):
    from benchmarks.inference.variants import gray_scales

    checkpoint = load_checkpoint(mini)
    policy = build_policy(checkpoint, engine="fast", scales=gray_scales(checkpoint))
    assert policy.engine_name == "fast"
    assert policy.spec.dtype == "fp8"


def test_a_variant_that_fails_has_its_reason_and_no_figure(mini, monkeypatch):
    from benchmarks.inference import latency as inference
    from benchmarks.inference.networks import choose_subject
    from benchmarks.inference.variants import Variant

    def broken(_checkpoint):
        raise RuntimeError("CUDA error: an illegal address\nand 40 lines more")

    monkeypatch.setitem(inference.VARIANTS, "broken", Variant("what it is", broken))
    config = inference.InferenceBenchmark(mini)
    subject = choose_subject(mini, None, "cpu", "auto", (32, 32))
    assert inference.measure_variant(config, subject, "broken", {}) == {
        "what": "what it is",
        "not_available": "RuntimeError: CUDA error: an illegal address",
    }


def test_weights_in_fp8_are_fewer_bytes_to_read():
    from benchmarks.inference.floor import bytes_read

    plain, scale, saved = take_weights(network(), 0), torch.ones(()), []

    def rounded(name, layer):
        times = 4 if name.startswith("head.blocks.") else 1  # the denoising steps
        saved.append(times * (3 * layer.weight.numel() - 8))  # of four bytes, but for two scales
        return Fp8Linear(layer.weight.to(FP8), scale, scale, layer.bias)

    fewer = bytes_read(replace_layers(plain, rounded), TOKENS)
    assert len(plain.head.steps) == 4
    assert fewer == bytes_read(plain, TOKENS) - sum(saved)


def test_the_floor_counts_the_steps_weights_once_a_step_and_all_others_once(monkeypatch):
    from benchmarks.inference.floor import COPIED, SIDE, find_floor

    monkeypatch.setitem(COPIED, "cpu", 2**20)
    monkeypatch.setitem(SIDE, "cpu", 64)
    weights = take_weights(network(), 0)
    floor = find_floor(weights, TOKENS, torch.device("cpu"), torch.float32)
    head = weights.head
    again = [head.encode_in, head.encode_out, head.positions]
    again += [head.decode.weight1, head.decode.bias1, head.decode.weight2, head.decode.bias2]
    for block in head.blocks:
        for layer in (block.project, block.out, block.up, block.down):
            again += [layer.weight, *([] if layer.bias is None else [layer.bias])]
        again += [block.norm2.weight, block.norm2.bias]
    hot = sum(tensor.numel() * 4 for tensor in again) * len(head.steps)
    assert floor["of_these_by_denoising_mb"] == round(hot / 1e6, 2)
    assert floor["weights_read_mb"] > floor["of_these_by_denoising_mb"]
    assert floor["floor_ms"] > 0


def test_the_ways_of_the_int8_trial_compute_what_the_layers_do():
    pytest.importorskip("onnxruntime")
    from benchmarks.inference.int8_chunks import OnnxInt8Linear, PackedLinear, TorchInt8Linear

    drawn = torch.Generator().manual_seed(0)
    weight, rows, more = (torch.randn(n, 32, generator=drawn).bfloat16() for n in (48, 9, 9))
    for bias in (None, torch.randn(48, generator=drawn).bfloat16()):
        layer = Dense(weight, bias)
        made = [each.of(layer) for each in (PackedLinear, TorchInt8Linear, OnnxInt8Linear)]
        for arguments in ({}, {"gelu": True}, {"residual": torch.nn.functional.pad(more, (0, 16))}):
            want = layer(rows, **arguments).float()
            for each in made:
                found = each(rows[None], **arguments).float()
                assert found.shape == (1, 9, 48)
                assert torch.cosine_similarity(found.flatten(), want.flatten(), 0) > 0.999
