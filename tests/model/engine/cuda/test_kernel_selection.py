"""Which layers kernels are chosen for: by a clock, and never at the cost of an answer."""

import sys
from itertools import chain, repeat
from types import SimpleNamespace

import pytest
import torch
from handover_model.engine.cuda import kernel_selection as kernels
from handover_model.engine.cuda.chunk_module import ChunkModule
from handover_model.engine.cuda.kernel_selection import (
    CUTS,
    KernelCompiler,
    SkinnyLinear,
    mix_small,
    read_choices,
    use_kernels,
    write_choices,
)
from handover_model.engine.fp8.linear import quantize
from handover_model.engine.functional.linear import Dense, mix
from handover_model.engine.functional.tables import make_tables, take_weights

from ...tiny import CONFIG, network
from ..fp8.test_fp8 import AnyLayer
from ..inputs import engine_input, layout_of, noise_of, samples

TOKENS = 1 + CONFIG.action_horizon


def chunk_of(net, batch=1, change=lambda weights: weights):
    given = samples((3,) * batch, ((2, 2),))
    layout = layout_of(given, 16)
    chunk = ChunkModule(change(take_weights(net, 0)), layout, make_tables(net, layout)).eval()
    inputs = engine_input(given, layout)
    tensors = [inputs.text_ids, inputs.real, inputs.state, noise_of(net, batch), *inputs.frames]
    return chunk, tensors


def clock_saying(*times_ms):
    """A clock that tells these times and then 1 ms for ever, and never runs anything."""
    times = chain(times_ms, repeat(1.0))
    return lambda _run: next(times)


def test_the_fastest_cut_of_a_shape_is_taken_for_every_layer_of_it():
    chunk, _ = chunk_of(network())
    clock, known = clock_saying(1.0, 3.0, 0.5, 0.7, 0.9), {}  # the library, then CUTS
    chosen = use_kernels(chunk, TOKENS, clock, known)
    projects = [block.project for block in chosen.weights.head.blocks if block.reads == "self"]
    projects += [block.project for block in chosen.weights.head.blocks if block.reads != "self"]
    first = chosen.weights.head.blocks[0].project
    assert first == SkinnyLinear(chunk.weights.head.blocks[0].project, CUTS[1])
    assert {type(layer) for layer in projects} == {
        SkinnyLinear,
        Dense,
    }  # by shape: 16 and 48 outputs
    assert chosen.weights.head.mix is mix  # as fast is not faster
    assert isinstance(chosen.weights.vision.layers[0].qkv, Dense)

    def forbidden(_run):
        raise AssertionError("what is known is not measured again")

    again = use_kernels(chunk, TOKENS, forbidden, known)
    assert again.weights.head.blocks[0].project == first


def test_more_rows_than_a_block_has_are_the_librarys():
    chunk, _ = chunk_of(network(), batch=32)
    measured = []
    chosen = use_kernels(chunk, TOKENS, lambda run: measured.append(run) or 1.0, {})
    assert all(isinstance(block.up, Dense) for block in chosen.weights.head.blocks)
    assert len(measured) == 4  # attention of the head and of the vision tower, both ways


def test_attention_is_chosen_for_itself():
    chunk, _ = chunk_of(network(), batch=32)
    chosen = use_kernels(chunk, TOKENS, clock_saying(1.0, 0.5, 1.0, 2.0), {})
    assert chosen.weights.head.mix is mix_small
    assert chosen.weights.vision.mix is mix


@pytest.mark.parametrize("precision", ["full", "fp8"])
def test_a_kernel_that_cannot_be_built_is_not_chosen(precision, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "handover_model.engine.cuda.triton_kernels.skinny_linear", None
    )
    monkeypatch.setitem(
        sys.modules, "handover_model.engine.cuda.triton_kernels.small_attention", None
    )

    def change(weights):
        return quantize(weights, AnyLayer()) if precision == "fp8" else weights

    chunk, tensors = chunk_of(network(), change=change)

    def clock(run):
        run()  # the library's runs, a kernel's fails
        return 1.0

    with torch.no_grad():
        chosen = use_kernels(chunk, TOKENS, clock, {})
        torch.testing.assert_close(chosen(*tensors), chunk(*tensors), atol=0, rtol=0)
    assert not any(isinstance(block.up, SkinnyLinear) for block in chosen.weights.head.blocks)
    assert chosen.weights.head.mix is mix


@pytest.fixture
def on_gpu(tmp_path, monkeypatch):
    """A chunk and inputs that say that they are on a GPU, where Triton is; and an own cache."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "find_spec", lambda _name: object())
    chunk, tensors = chunk_of(network())
    return chunk, [SimpleNamespace(is_cuda=True), *tensors[1:]]


def test_a_second_start_takes_the_kernels_of_the_first(on_gpu, monkeypatch, tmp_path):
    """Or the compiler would not find what it compiled for them."""
    monkeypatch.setattr(kernels, "compile_whole", lambda function, _: function)
    clocks = clock_saying(1.0, 3.0, 0.5, 0.7, 0.9), clock_saying(1.0, 0.5), clock_saying()
    chosen = []
    for clock in clocks:
        monkeypatch.setattr(kernels, "clock_on_gpu", clock)
        chosen.append(KernelCompiler()(*on_gpu).weights.head.blocks[0].project.cut)
    assert chosen == [CUTS[1]] * 3
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text('[["project"')  # what is torn is measured again
    monkeypatch.setattr(kernels, "clock_on_gpu", clock_saying(1.0, 0.5))
    assert KernelCompiler()(*on_gpu).weights.head.blocks[0].project.cut == CUTS[0]


def test_a_choice_that_is_none_of_the_cuts_any_more_is_not_read(tmp_path):
    path, known = tmp_path / "cache" / "kernels.json", {("up", 17): CUTS[0], ("mix", 1): None}
    write_choices({**known, ("down", 17): (1, 2, 3, 4, 5)}, path)
    assert read_choices(path, CUTS) == known
    assert read_choices(tmp_path / "other.json", CUTS) == {}


def test_a_compiler_that_does_not_take_the_kernels_compiles_without_them(
    on_gpu, monkeypatch, caplog
):
    compiled = []

    def broken(*_given):
        raise RuntimeError("ptxas died\nand 40 lines more")

    monkeypatch.setattr(kernels, "use_kernels", broken)
    monkeypatch.setattr(kernels, "compile_whole", lambda function, _: compiled.append(function))
    compiler = KernelCompiler()
    for _ in range(2):
        compiler(*on_gpu)
    assert compiled == [on_gpu[0]] * 2
    assert caplog.messages == ["chunks are compiled without kernels of ours: ptxas died"]
