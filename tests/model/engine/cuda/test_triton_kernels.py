"""The Triton kernels beside plain PyTorch: in Triton's interpreter, or on a GPU where there is one.

Triton comes with PyTorch's CUDA builds; for a CPU it is a package of a gigabyte, which the test
environments do not install and CI does aside. `pip install triton` and TRITON_INTERPRET=1 let these
tests run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

pytest.importorskip("triton", reason="Triton is not installed: pip install triton")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("without a GPU they want TRITON_INTERPRET=1", allow_module_level=True)

from handover_model.engine.cuda.kernel_selection import SkinnyLinear, use_kernels
from handover_model.engine.cuda.triton_kernels.skinny_linear import skinny_linear
from handover_model.engine.cuda.triton_kernels.small_attention import small_attention
from handover_model.engine.fp8.linear import FP8, quantize_layer
from handover_model.engine.functional.linear import Dense, Norm

from ...tiny import network, normal
from .test_kernel_selection import TOKENS, chunk_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SHAPES = {  # rows, width, outputs
    "horizon 16, width of the published head": (17, 1536, 96),
    "horizon 50": (51, 1536, 64),
    "two chunks of 50": (102, 256, 32),
    "the most rows": (128, 128, 16),
    "sides that no block divides": (7, 80, 50),
    "one row": (1, 48, 16),
}
HEADS = ((51, 81, 48), (17, 48, 48), (20, 324, 72), (16, 64, 64), (1, 3, 8))  # queries, keys, size
CUTS = {"whole": (32, 128, 1, 4, 3), "split": (16, 32, 3, 4, 3)}


def drawn(*shape, seed, dtype):
    return normal(*shape, seed=seed).to(DEVICE, dtype)


def assert_as_good(got, plain, exact):
    """Not much further from the exact numbers than PyTorch's own are.

    Times four: the interpreter cuts numbers off where a GPU rounds them to bfloat16.
    """
    bound = 4 * (plain.double() - exact).abs().max() + 1e-6
    assert (got.double() - exact).abs().max() <= bound


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_layer_with_all_around_it_is_what_pytorch_computes(shape, dtype, cut):
    rows, width, outputs = shape
    tokens = drawn(rows, width, seed=1, dtype=dtype) + 3  # a mean far from 0
    layer = Dense(
        drawn(outputs, width, seed=2, dtype=dtype) / width**0.5,
        drawn(outputs, seed=3, dtype=dtype),
    )
    norm = Norm(drawn(width, seed=4, dtype=dtype), drawn(width, seed=5, dtype=dtype), 1e-5)
    residual = drawn(rows, outputs, seed=6, dtype=dtype)
    got = SkinnyLinear(layer, cut)(tokens, norm, True, residual)
    wide = Dense(layer.weight.double(), layer.bias.double())
    exact = wide(
        tokens.double(),
        Norm(norm.weight.double(), norm.bias.double(), norm.eps),
        True,
        residual.double(),
    )
    assert_as_good(got, layer(tokens, norm, True, residual), exact)


@pytest.mark.parametrize("around", ["nothing", "norm", "gelu", "residual"])
def test_each_part_is_left_out_where_it_is_not_wanted(around):
    tokens, residual = drawn(5, 32, seed=1, dtype=torch.float32), None
    layer = Dense(drawn(24, 32, seed=2, dtype=torch.float32), None)
    norm = None
    if around == "norm":
        weights = drawn(2, 32, seed=3, dtype=torch.float32)
        norm = Norm(weights[0], weights[1], 1e-5)
    if around == "residual":
        residual = drawn(5, 24, seed=4, dtype=torch.float32)
    given = (tokens, norm, around == "gelu", residual)
    torch.testing.assert_close(SkinnyLinear(layer, CUTS["split"])(*given), layer(*given))


def test_the_same_numbers_give_the_same_bits():
    tokens = drawn(17, 256, seed=1, dtype=torch.float32)
    layer = Dense(drawn(32, 256, seed=2, dtype=torch.float32), None)
    split = SkinnyLinear(layer, CUTS["split"])
    assert torch.equal(split(tokens), split(tokens))


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_in_fp8_the_same_rounded_numbers_are_multiplied(cut):
    """With inputs that are e4m3 numbers already: the interpreter's own rounding to e4m3 is wrong
    where a mantissa carries over.
    """
    tokens = drawn(17, 96, seed=1, dtype=torch.float32).to(FP8).float()
    layer = Dense(
        drawn(64, 96, seed=2, dtype=torch.float32), drawn(64, seed=3, dtype=torch.float32)
    )
    rounded = quantize_layer(layer, 448.0)
    bits = type(rounded)(
        rounded.weight.to(FP8), rounded.weight_scale, rounded.input_scale, rounded.bias
    )
    # a Hopper's tensor cores add FP8 products in some 14 bits, in each kernel's own order
    # (DeepSeek-V3, arXiv 2412.19437, 3.3.2); another e4m3 number somewhere would be 0.06
    near = {"atol": 2e-2, "rtol": 1e-3} if DEVICE == "cuda" else {}
    torch.testing.assert_close(
        SkinnyLinear(bits, cut)(tokens, None, True), rounded(tokens, None, True), **near
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("shape", HEADS)
def test_attention_is_what_pytorch_computes(shape, dtype, masked):
    queries, keys, size = shape
    query = drawn(2, 3, queries, size, seed=1, dtype=dtype)
    key = drawn(2, keys, 3, size, seed=2, dtype=dtype).transpose(1, 2)  # as memories lie
    value = drawn(2, keys, 3, size, seed=3, dtype=dtype).transpose(1, 2)
    mask = None
    if masked:
        mask = torch.ones(2, 1, 1, keys, dtype=torch.bool, device=DEVICE)
        mask[0, ..., : keys - 1] = False  # all but the last, over whole blocks
        mask[1, ..., : keys // 3] = False
    got = small_attention(query, key, value, mask)
    wide = functional.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), attn_mask=mask
    )
    plain = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert_as_good(got, *(each.transpose(1, 2).flatten(2) for each in (plain, wide)))


def test_both_are_operators_that_the_compiler_takes():
    tokens, weight = torch.ones(3, 16, device=DEVICE), torch.ones(16, 16, device=DEVICE)
    given = (tokens, weight, None, None, None, 0.0, True, None, None, None, [16, 16, 1, 4, 2])
    torch.library.opcheck(skinny_linear, given, test_utils=("test_schema", "test_faketensor"))
    heads = torch.ones(1, 2, 3, 8, device=DEVICE)
    torch.library.opcheck(
        small_attention, (heads, heads, heads, None), test_utils=("test_schema", "test_faketensor")
    )


def test_a_whole_chunk_by_kernels_equals_the_plain_one_compiled_or_not():
    chunk, tensors = chunk_of(network(num_inference_timesteps=1).to(DEVICE))
    tensors = [tensor.to(DEVICE) for tensor in tensors]
    times = iter([1.0, 0.5, 9.0, 9.0, 9.0] * 99)  # every first cut is faster
    with torch.no_grad():
        chosen = use_kernels(chunk, TOKENS, lambda run: (run(), next(times))[1], {})
        assert all(isinstance(block.up, SkinnyLinear) for block in chosen.weights.head.blocks)
        want = chunk(*tensors)
        torch.testing.assert_close(chosen(*tensors), want, atol=2e-5, rtol=1e-5)
        compiled = torch.compile(chosen, backend="eager", fullgraph=True, dynamic=False)
        torch.testing.assert_close(compiled(*tensors), want, atol=2e-5, rtol=1e-5)


@pytest.mark.timeout(600)
def test_every_cut_compiles_for_an_h100(tmp_path):
    """Triton brings its whole compiler: no GPU is needed to see that it takes a kernel."""
    program = Path(__file__).with_name("compile_kernels.py")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 19
    assert all("mma" in line for line in lines if not line.startswith("add_splits"))
