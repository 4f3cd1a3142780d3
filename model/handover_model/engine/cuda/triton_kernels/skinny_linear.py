"""Linear layer on few rows (skinny GEMM), with the operations around it, as one Triton kernel.

With few rows a weight is read once and hardly used: the cost is reading it, and every further
kernel. So the norm before the product, and bias, GELU and residual after it, are fused. The sum
over the width may be split across more programs; a second kernel then adds its parts in a fixed
order, so that the same numbers always give the same result.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false
# pyright: reportPossiblyUnboundVariable=false
# ruff: noqa: ANN001, ANN002, ANN201, ANN202 - a kernel's arguments are pointers and numbers of Triton's own
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from handover_model.engine.cuda.triton_kernels.dot import dot
from handover_model.engine.fp8.linear import LARGEST

LARGEST_FP8 = tl.constexpr(LARGEST)


@dataclass(frozen=True)
class SkinnyConfig:
    """Division of a product into programs."""

    outputs: int
    """Columns of a program"""
    inputs: int
    """Width that a program reads at a time"""
    splits: int
    """Programs that share one column's width"""
    warps: int
    stages: int


@triton.jit
def _epilogue(
    sums, bias, residual, out, row, column, rows, outputs,
    BIAS: tl.constexpr, GELU: tl.constexpr, RESIDUAL: tl.constexpr,
):  # fmt: skip
    inside = (row < rows)[:, None] & (column < outputs)[None, :]
    place = row[:, None] * outputs + column[None, :]
    if BIAS:
        sums += tl.load(bias + column, mask=column < outputs, other=0.0).to(tl.float32)[None, :]
    if GELU:  # the tanh form: x (1 + tanh z) / 2 = x sigmoid(2 z)
        inner = 1.5957691216057308 * (sums + 0.044715 * sums * sums * sums)  # 2 sqrt(2 / pi)
        sums = sums * tl.sigmoid(inner)
    if RESIDUAL:
        sums += tl.load(residual + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _row_statistics(
    tokens, row, rows, width, eps, BLOCK_ROWS: tl.constexpr, BLOCK_IN: tl.constexpr
):
    """Mean and reciprocal deviation of rows, about their first number to avoid cancellation."""
    about = tl.load(tokens + row * width, mask=row < rows, other=0.0).to(tl.float32)
    first = tl.zeros((BLOCK_ROWS,), tl.float32)
    second = tl.zeros((BLOCK_ROWS,), tl.float32)
    for start in range(0, width, BLOCK_IN):
        place = start + tl.arange(0, BLOCK_IN)
        inside = (row < rows)[:, None] & (place < width)[None, :]
        read = tl.load(tokens + row[:, None] * width + place[None, :], mask=inside, other=0.0)
        moved = tl.where(inside, read.to(tl.float32) - about[:, None], 0.0)
        first += tl.sum(moved, 1)
        second += tl.sum(moved * moved, 1)
    mean = first / width
    return mean + about, 1 / tl.sqrt(second / width - mean * mean + eps)


@triton.jit
def product_kernel(
    tokens, weight, norm_weight, norm_bias, bias, residual, input_scale, weight_scale, out, partial,
    rows, width, outputs, eps,
    NORM: tl.constexpr, BIAS: tl.constexpr, GELU: tl.constexpr, RESIDUAL: tl.constexpr,
    FP8: tl.constexpr, SPLITS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_OUT: tl.constexpr, BLOCK_IN: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    split = tl.program_id(1)
    row = tl.arange(0, BLOCK_ROWS)
    kind = tokens.dtype.element_ty
    if NORM:
        mean, scale = _row_statistics(tokens, row, rows, width, eps, BLOCK_ROWS, BLOCK_IN)
    if FP8:
        unit = tl.load(input_scale)
    sums = tl.zeros((BLOCK_ROWS, BLOCK_OUT), tl.float32)
    for start in range(split * BLOCK_IN, width, SPLITS * BLOCK_IN):
        place = start + tl.arange(0, BLOCK_IN)
        within = place < width
        inside = (row < rows)[:, None] & within[None, :]
        read = tl.load(tokens + row[:, None] * width + place[None, :], mask=inside, other=0.0)
        if NORM:
            times = tl.load(norm_weight + place, mask=within, other=0.0).to(tl.float32)
            plus = tl.load(norm_bias + place, mask=within, other=0.0).to(tl.float32)
            normed = (read.to(tl.float32) - mean[:, None]) * scale[:, None]
            read = (normed * times[None, :] + plus[None, :]).to(kind)
        if FP8:
            units = read.to(tl.float32) / unit
            read = tl.minimum(tl.maximum(units, -LARGEST_FP8), LARGEST_FP8).to(
                tl.float8e4nv, fp_downcast_rounding="rtne"
            )
        known = within[:, None] & (column < outputs)[None, :]
        taken = tl.load(weight + column[None, :] * width + place[:, None], mask=known, other=0.0)
        sums = dot(read, taken, sums)
    if FP8:
        sums *= unit * tl.load(weight_scale)
    if SPLITS == 1:
        _epilogue(
            sums, bias, residual, out, row, column, rows, outputs, BIAS, GELU, RESIDUAL
        )  # fmt: skip
    else:
        place = (split * rows + row)[:, None] * outputs + column[None, :]
        inside = (row < rows)[:, None] & (column < outputs)[None, :]
        tl.store(partial + place, sums, mask=inside)


@triton.jit
def add_splits_kernel(
    partial, bias, residual, out, rows, outputs,
    BIAS: tl.constexpr, GELU: tl.constexpr, RESIDUAL: tl.constexpr, SPLITS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_OUT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    inside = (row < rows)[:, None] & (column < outputs)[None, :]
    sums = tl.zeros((BLOCK_ROWS, BLOCK_OUT), tl.float32)
    for split in tl.static_range(SPLITS):
        place = (split * rows + row)[:, None] * outputs + column[None, :]
        sums += tl.load(partial + place, mask=inside, other=0.0)
    _epilogue(sums, bias, residual, out, row, column, rows, outputs, BIAS, GELU, RESIDUAL)


@torch.library.custom_op(
    "handover::skinny_linear", mutates_args=(), tags=torch.Tag.needs_fixed_stride_order
)
def skinny_linear(
    tokens: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    gelu: bool,
    residual: Tensor | None,
    input_scale: Tensor | None,
    weight_scale: Tensor | None,
    cut: list[int],
) -> Tensor:
    """Return residual + gelu(norm(tokens) @ weight.T + bias), each part if given.

    tokens (rows <= kernel_selection.MOST_ROWS, width) and residual contiguous; weight (outputs,
    width), of tokens' type, or e4m3 with both scales; cut: a SkinnyConfig's numbers.
    """
    (rows, width), outputs = tokens.shape, weight.shape[0]
    config = SkinnyConfig(*cut)
    out = torch.empty(rows, outputs, dtype=tokens.dtype, device=tokens.device)
    partial = out
    if config.splits > 1:
        partial = torch.empty(
            config.splits, rows, outputs, dtype=torch.float32, device=tokens.device
        )
    after = {"BIAS": bias is not None, "GELU": gelu, "RESIDUAL": residual is not None}
    blocks = triton.cdiv(outputs, config.outputs)

    def given(tensor: Tensor | None) -> Tensor:
        return out if tensor is None else tensor  # a missing tensor is not read

    product_kernel[(blocks, config.splits)](
        tokens, weight, given(norm_weight), given(norm_bias), given(bias), given(residual),
        given(input_scale), given(weight_scale), out, partial, rows, width, outputs, eps,
        NORM=norm_weight is not None, FP8=input_scale is not None, SPLITS=config.splits,
        BLOCK_ROWS=max(16, triton.next_power_of_2(rows)),
        BLOCK_OUT=config.outputs, BLOCK_IN=config.inputs,
        num_warps=config.warps, num_stages=config.stages, **after,
    )  # fmt: skip
    if config.splits > 1:
        add_splits_kernel[(blocks, triton.cdiv(rows, 16))](
            partial, given(bias), given(residual), out, rows, outputs,
            SPLITS=config.splits, BLOCK_ROWS=16, BLOCK_OUT=config.outputs, num_warps=4, **after,
        )  # fmt: skip
    return out


@skinny_linear.register_fake
def _(tokens, weight, *_others):
    return tokens.new_empty(tokens.shape[0], weight.shape[0])
